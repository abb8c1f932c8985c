// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {EzklAdapter} from "../src/EzklAdapter.sol";
import {ExternalProof} from "../src/ExternalProof.sol";
import {IProofVerifier} from "../src/IProofVerifier.sol";
import {Registry} from "../src/Registry.sol";
import {HashProof} from "./Verifiers.sol";
import {Vm} from "./Vm.sol";

/// Answers as EZKL's generated verifier does, to proofs that are hashes: true, or a revert.
contract WholeEzkl {
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external pure returns (bool) {
        require(keccak256(proof) == keccak256(HashProof.prove(instances)));
        return true;
    }
}

/// As EZKL's reusable one: anyone registers keys; behind yes and the key's hash comes what the ABI does not know.
/// Insists on call data as the ABI's encoders write it.
contract ReusableEzkl {
    mapping(bytes32 => bool) private _registered;

    function registerVka(bytes32[] memory key) external returns (bytes32 digest) {
        digest = keccak256(abi.encodePacked(key));
        _registered[digest] = true;
    }

    function verifyProof(bytes calldata proof, uint256[] calldata instances, bytes32[] calldata key)
        external
        view
        returns (bool, bytes32, int256[] memory)
    {
        bytes32 digest = keccak256(abi.encodePacked(key));
        require(_registered[digest], "VKA not registered");
        require(keccak256(msg.data) == keccak256(abi.encodeWithSelector(msg.sig, proof, instances, key)));
        require(keccak256(proof) == keccak256(HashProof.prove(instances)));
        assembly ("memory-safe") {
            mstore(0, 1)
            mstore(32, digest)
            return(0, 91)
        }
    }
}

/// Answers with the words that it was given, whatever is asked.
contract Parrot {
    bytes private _words;

    constructor(bytes memory words) {
        _words = words;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        return _words;
    }
}

contract EzklAdapterTest {
    bool public constant IS_TEST = true;
    Vm private constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    function testFuzz_proves_WhatTheWholeVerifierTakes(uint256[] calldata inputs, bytes calldata other) external {
        EzklAdapter adapter = _whole(address(new WholeEzkl()));
        require(adapter.proves(inputs, HashProof.prove(inputs)) == IProofVerifier.proves.selector);
        require(adapter.proves(inputs, other) == 0, "another proof");
    }

    function testFuzz_proves_WhatTheReusableVerifierTakes(uint256[] calldata inputs, bytes calldata other) external {
        ReusableEzkl reusable = new ReusableEzkl();
        EzklAdapter adapter = new EzklAdapter(address(reusable), address(reusable).codehash, _key(1));
        require(adapter.proves(inputs, HashProof.prove(inputs)) == 0, "its key is not registered");
        reusable.registerVka(_words(_key(1)));
        require(adapter.proves(inputs, HashProof.prove(inputs)) == IProofVerifier.proves.selector);
        require(adapter.proves(inputs, other) == 0, "another proof");
    }

    function test_proves_WhenTheVerifierAnswersOtherwise() external {
        bytes32 hash = keccak256(abi.encodePacked(_key(1)));
        bytes[5] memory words =
            [bytes(""), hex"01", abi.encode(0), abi.encode(2), abi.encode(bytes32(IProofVerifier.proves.selector))];
        for (uint256 i = 0; i < words.length; i++) {
            require(_whole(address(new Parrot(words[i]))).proves(new uint256[](1), "") == 0, "whole");
            Parrot parrot = new Parrot(bytes.concat(words[i], hash));
            require(_reusable(address(parrot)).proves(new uint256[](1), "") == 0, "reusable");
        }
        Parrot without = new Parrot(abi.encode(1));
        require(_reusable(address(without)).proves(new uint256[](1), "") == 0, "no key named");
        Parrot another = new Parrot(abi.encode(1, keccak256(abi.encodePacked(_key(2)))));
        require(_reusable(address(another)).proves(new uint256[](1), "") == 0, "another key");
        Parrot right = new Parrot(abi.encode(1, hash));
        require(_reusable(address(right)).proves(new uint256[](1), "") == IProofVerifier.proves.selector);
    }

    function test_constructor_WhenTheCodeIsNotTheOneThatWasSeen() external {
        vm.expectPartialRevert(EzklAdapter.VerifierChanged.selector);
        new EzklAdapter(address(this), keccak256("another"), _key(0));
        vm.expectPartialRevert(EzklAdapter.VerifierChanged.selector);
        new EzklAdapter(address(0xE0A), address(0xE0A).codehash, _key(0));
    }

    function test_proves_WhenVerifierOrKeyHasChanged() external {
        Parrot parrot = new Parrot(abi.encode(1, keccak256(abi.encodePacked(_key(1)))));
        EzklAdapter adapter = _reusable(address(parrot));
        bytes memory key = adapter.keyPointer().code;
        vm.etch(adapter.keyPointer(), bytes.concat(key, bytes32(uint256(9))));
        vm.expectPartialRevert(EzklAdapter.KeyChanged.selector);
        adapter.proves(new uint256[](1), "");
        vm.etch(adapter.keyPointer(), key);
        require(adapter.proves(new uint256[](1), "") != 0);
        vm.etch(address(parrot), bytes.concat(address(parrot).code, hex"00"));
        vm.expectPartialRevert(EzklAdapter.VerifierChanged.selector);
        adapter.proves(new uint256[](1), "");
    }

    /// The hash that the Registry pins stands for verifier, its code and key: other ones make another hash.
    function test_codeHash_StandsForVerifierAndKey() external {
        WholeEzkl verifier = new WholeEzkl();
        bytes32 code = address(_whole(address(verifier))).codehash;
        require(code != address(_whole(address(new WholeEzkl()))).codehash, "address");
        require(code == address(_whole(address(verifier))).codehash);
        bytes32 first = address(_reusable(address(verifier))).codehash;
        EzklAdapter second = new EzklAdapter(address(verifier), address(verifier).codehash, _key(2));
        require(first != address(second).codehash, "key");
    }

    function test_requireProven_ByAnAdapter() external {
        Registry registry = new Registry();
        EzklAdapter adapter = _whole(address(new WholeEzkl()));
        bytes32 program = registry.registerVerifier(address(adapter), bytes32(0), bytes32(0), true);
        uint256[] memory inputs = _key(3);
        registry.requireProven(program, inputs, HashProof.prove(inputs));
        vm.expectPartialRevert(ExternalProof.ExternalProofInvalid.selector);
        registry.requireProven(program, inputs, HashProof.prove(_key(2)));
    }

    function _whole(address verifier) private returns (EzklAdapter) {
        return new EzklAdapter(verifier, verifier.codehash, new uint256[](0));
    }

    function _reusable(address verifier) private returns (EzklAdapter) {
        return new EzklAdapter(verifier, verifier.codehash, _key(1));
    }

    function _key(uint256 words) private pure returns (uint256[] memory key) {
        key = new uint256[](words);
        for (uint256 i = 0; i < words; i++) {
            key[i] = 7 + i;
        }
    }

    function _words(uint256[] memory key) private pure returns (bytes32[] memory words) {
        assembly ("memory-safe") {
            words := key
        }
    }
}

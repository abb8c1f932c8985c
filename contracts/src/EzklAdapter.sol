// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CodeStorage} from "./CodeStorage.sol";
import {IProofVerifier} from "./IProofVerifier.sol";

/// What EZKL generates, its key in its code; it reverts on a proof that is not good.
interface IEzklVerifier {
    function verifyProof(bytes calldata proof, uint256[] calldata instances) external view returns (bool);
}

/// The form that EZKL calls reusable: one contract for many keys, which anyone may register with it. After the two
/// words it answers with more, in no form that the ABI knows.
interface IReusableEzklVerifier {
    function verifyProof(bytes calldata proof, uint256[] calldata instances, bytes32[] calldata key)
        external
        view
        returns (bool done, bytes32 keyHash);
}

/// Speaks for one EZKL model: one verifier with one code, and one key. Both are part of this contract's own code, so
/// that the hash of that code, which the Registry pins, stands for all of it.
///
/// The model is to be compiled with hashed inputs: then the first instance is the hash of the input, which the order
/// names as its input commitment, and the others are the outputs.
contract EzklAdapter is IProofVerifier {
    error VerifierChanged(address verifier, bytes32 codeHash);
    error KeyChanged(address keyPointer);

    address public immutable verifier;
    bytes32 public immutable verifierCodeHash;
    /// Of the key of a reusable verifier, its words as they are; zero if the key is in the verifier's code.
    bytes32 public immutable keyHash;
    address public immutable keyPointer;

    /// The verifier must have the code that whoever deploys this has seen. `key` is empty, or what a reusable verifier
    /// is to be given; that verifier must have been told of it (`registerVka`).
    constructor(address verifier_, bytes32 verifierCodeHash_, uint256[] memory key) {
        if (verifier_.code.length == 0 || verifier_.codehash != verifierCodeHash_) {
            revert VerifierChanged(verifier_, verifier_.codehash);
        }
        (verifier, verifierCodeHash) = (verifier_, verifierCodeHash_);
        if (key.length == 0) return;
        bytes memory packed = abi.encodePacked(key);
        (keyHash, keyPointer) = (keccak256(packed), CodeStorage.write(packed));
    }

    /// The calls are encoded anew, never passed on: the reusable verifier takes places in its call data for granted.
    function proves(uint256[] calldata inputs, bytes calldata proof) external view returns (bytes4) {
        if (verifier.codehash != verifierCodeHash) revert VerifierChanged(verifier, verifier.codehash);
        bool whole = keyHash == 0;
        (bool done, bytes32 ofKey) = _ask(
            whole
                ? abi.encodeCall(IEzklVerifier.verifyProof, (proof, inputs))
                : abi.encodeCall(IReusableEzklVerifier.verifyProof, (proof, inputs, _key()))
        );
        return done && (whole || ofKey == keyHash) ? IProofVerifier.proves.selector : bytes4(0);
    }

    function _key() private view returns (bytes32[] memory words) {
        uint256[] memory key = CodeStorage.readWords(keyPointer);
        bytes32 found;
        assembly ("memory-safe") {
            words := key
            found := keccak256(add(key, 32), shl(5, mload(key)))
        }
        if (found != keyHash) revert KeyChanged(keyPointer);
    }

    /// Whether the first word of the answer is a plain yes, and the second word.
    function _ask(bytes memory data) private view returns (bool done, bytes32 second) {
        address target = verifier;
        assembly ("memory-safe") {
            mstore(0, 0)
            mstore(32, 0)
            done := staticcall(gas(), target, add(data, 32), mload(data), 0, 64)
            done := and(done, and(gt(returndatasize(), 31), eq(mload(0), 1)))
            second := mload(32)
        }
    }
}

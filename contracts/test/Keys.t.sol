// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CodeStorage} from "../src/CodeStorage.sol";
import {CreditGate} from "../src/CreditGate.sol";
import {Groth16} from "../src/Groth16.sol";
import {Groth16Verifier} from "../src/Groth16Verifier.sol";
import {IRegistry} from "../src/IRegistry.sol";
import {PeerDirectory} from "../src/PeerDirectory.sol";
import {ProofConsumer} from "../src/ProofConsumer.sol";
import {Award, ModelRecord, Order, Settlement} from "../src/Types.sol";
import {Market} from "./Market.sol";

/// Internals that no caller can reach with these arguments.
contract Opened {
    function sum(uint256 x, uint256 y, uint256 otherX, uint256 otherY) external view returns (uint256, uint256) {
        return Groth16.add(x, y, otherX, otherY);
    }

    function write(bytes calldata data) external returns (address) {
        return CodeStorage.write(data);
    }
}

/// Verifying keys and proofs: what is refused, one check after the other, and how keys are kept and shared.
contract KeyTest is Market {
    Groth16Verifier private _verifier;
    Opened private _opened;

    function setUp() external {
        openMarket();
        (_verifier, _opened) = (new Groth16Verifier(), new Opened());
    }

    // --- keys ------------------------------------------------------------------------------------

    function test_requireSoundKey_OfTheKeyItself() external view {
        _verifier.requireSoundKey(key());
    }

    function testFuzz_requireSoundKey_WhenAWordIsOutsideTheField(uint256 word) external {
        uint256[] memory vk = key();
        word %= vk.length;
        vk[word] += Groth16.P;
        vm.expectRevert(abi.encodeWithSelector(Groth16.KeyNotInField.selector, word));
        _verifier.requireSoundKey(vk);
    }

    function test_requireSoundKey_WhenAPointIsAtInfinity() external {
        uint256[8] memory points = [uint256(0), 2, 6, 10, 14, 16, 18, 20];
        for (uint256 i = 0; i < 8; i++) {
            uint256[] memory vk = key();
            for (uint256 word = points[i]; word < points[i] + (i > 0 && i < 4 ? 4 : 2); word++) {
                vk[word] = 0;
            }
            vm.expectRevert(abi.encodeWithSelector(Groth16.KeyPointAtInfinity.selector, points[i]));
            _verifier.requireSoundKey(vk);
        }
    }

    function test_requireSoundKey_WhenAPointIsOffItsCurve() external {
        uint256[5] memory points = [uint256(0), 14, 16, 18, 20];
        for (uint256 i = 0; i < 5; i++) {
            uint256[] memory vk = key();
            vk[points[i]] = addmod(vk[points[i]], 1, Groth16.P);
            vm.expectRevert(abi.encodeWithSelector(Groth16.KeyPointNotOnCurve.selector, points[i]));
            _verifier.requireSoundKey(vk);
        }
        for (uint256 point = 2; point < 14; point += 4) {
            uint256[] memory vk = key();
            vk[point] = addmod(vk[point], 1, Groth16.P);
            vm.expectRevert(Groth16.KeyGroup2Invalid.selector);
            _verifier.requireSoundKey{gas: 1_000_000}(vk);
        }
    }

    /// Equal, and opposite: with the other of the two points that have the same x.
    function test_requireSoundKey_WhenAPointIsRepeated() external {
        for (uint256 opposite = 0; opposite < 2; opposite++) {
            uint256[] memory vk = key();
            (vk[18], vk[19]) = (vk[14], opposite == 1 ? Groth16.P - vk[15] : vk[15]);
            vm.expectRevert(abi.encodeWithSelector(Groth16.KeyPointRepeated.selector, 18));
            _verifier.requireSoundKey(vk);
            vk = key();
            for (uint256 i = 0; i < 4; i++) {
                vk[10 + i] = i > 1 && opposite == 1 ? Groth16.P - vk[2 + i] : vk[2 + i];
            }
            vm.expectRevert(abi.encodeWithSelector(Groth16.KeyPointRepeated.selector, 10));
            _verifier.requireSoundKey(vk);
        }
    }

    function test_verifyingKeyOf_AndModelOf_GiveWhatWasRegistered() external view {
        require(keccak256(abi.encode(registry.verifyingKeyOf(programId))) == keccak256(abi.encode(key())));
        (address by, ModelRecord memory record) = registry.modelOf(modelId);
        require(by == publisher && record.programId == programId && record.royaltyBps == 250);
        require(keccak256(bytes(record.uri)) == keccak256("bundle:test"));
    }

    // --- proofs ----------------------------------------------------------------------------------

    function testFuzz_verify_WhenAWordOfTheProofIsOutsideTheField(uint256 word) external {
        (uint256[] memory inputs, uint256[8] memory proof) = _proved();
        uint256[] memory vk = key();
        word %= 8;
        proof[word] += Groth16.P;
        vm.expectRevert(abi.encodeWithSelector(Groth16.ProofNotInField.selector, word));
        _verifier.verify(vk, inputs, proof);
    }

    function testFuzz_verify_WhenAnInputIsOutsideTheField(uint256 index) external {
        (uint256[] memory inputs, uint256[8] memory proof) = _proved();
        uint256[] memory vk = key();
        _verifier.verify(vk, inputs, proof);
        index %= 3;
        inputs[index] += Groth16.R;
        vm.expectRevert(abi.encodeWithSelector(Groth16.InputNotInField.selector, index));
        _verifier.verify(vk, inputs, proof);
    }

    function test_verify_WhenAPointOfTheProofIsOffTheCurve() external {
        (uint256[] memory inputs, uint256[8] memory proof) = _proved();
        uint256[] memory vk = key();
        for (uint256 word = 0; word < 8; word += 6) {
            uint256 was = proof[word];
            proof[word] = addmod(was, 1, Groth16.P);
            vm.expectRevert(Groth16.ProofInvalid.selector);
            _verifier.verify(vk, inputs, proof);
            proof[word] = was;
        }
    }

    function test_verify_WhenTheInputsAreNotThoseOfTheKey() external {
        (, uint256[8] memory proof) = _proved();
        uint256[] memory vk = key();
        vm.expectRevert(abi.encodeWithSelector(Groth16.WrongInputCount.selector, 2, 3));
        _verifier.verify(vk, new uint256[](2), proof);
        vm.expectRevert(abi.encodeWithSelector(Groth16.WrongInputCount.selector, 2, 0));
        _verifier.verify(new uint256[](3), new uint256[](2), proof);
    }

    /// A key that no Registry took: the precompiles refuse what is no point, and so does this.
    function test_verify_WhenTheKeyIsOffTheCurve() external {
        (uint256[] memory inputs, uint256[8] memory proof) = _proved();
        uint256[] memory vk = key();
        vk[14] = addmod(vk[14], 1, Groth16.P);
        vm.expectRevert(Groth16.ProofInvalid.selector);
        _verifier.verify{gas: 5_000_000}(vk, inputs, proof);
        vm.expectRevert(Groth16.ProofInvalid.selector);
        _opened.sum{gas: 1_000_000}(1, 2, 1, 1);
    }

    function test_settle_WhenTheOutputsAreNotThoseOfTheKey() external {
        Order memory order = newOrder(1);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        s.outputs = new uint256[](2);
        vm.expectRevert(abi.encodeWithSelector(Groth16.WrongInputCount.selector, 4, 3));
        escrow.settle(s);
    }

    function test_borrowWithProof_OfNoStatement() external {
        CreditGate gate = new CreditGate(address(escrow), registry, programId, new uint256[](1), client, 1);
        (, uint256[8] memory proof) = _proved();
        vm.expectPartialRevert(ProofConsumer.StatementTooShort.selector);
        gate.borrowWithProof(new uint256[](1), proof, uint64(START + 100), "");
    }

    // --- many programs in one batch --------------------------------------------------------------

    /// Programs of one set-up share the pairings of alpha, beta, gamma and delta; more than are remembered are read anew.
    function test_settleBatch_OfMoreProgramsThanAreRemembered() external {
        Settlement[] memory jobs = new Settlement[](36);
        for (uint256 i = 0; i < jobs.length; i++) {
            Order memory order = newOrder(i);
            order.programId = registry.registerProgram(1, key(), bytes32(i % 18), bytes32(0), true);
            (order.modelId, order.royaltyBps) = (0, 0);
            jobs[i] = settlement(order, newAward(order, prover, 1));
        }
        uint256 snapshot = vm.snapshotState();
        bytes4[] memory refusals = escrow.settleBatch(pack(jobs));
        for (uint256 i = 0; i < jobs.length; i++) {
            require(refusals[i] == 0, "paid");
        }
        vm.revertToState(snapshot);
        jobs[35].proof = jobs[34].proof;
        bytes memory packed = pack(jobs);
        vm.expectRevert(Groth16.ProofInvalid.selector);
        escrow.settleBatch(packed);
    }

    // --- data kept as code -----------------------------------------------------------------------

    function test_write_WhenItIsTooLongOrGasIsMissing() external {
        vm.expectRevert(CodeStorage.CodeStorageFailed.selector);
        _opened.write(new bytes(24_576));
        bytes memory longest = new bytes(24_575);
        vm.expectRevert(CodeStorage.CodeStorageFailed.selector);
        _opened.write{gas: 4_000_000}(longest);
        require(_opened.write(longest).code.length == 24_576);
    }

    function testFuzz_announce_IsAnEventAlone(bytes calldata addresses) external {
        PeerDirectory directory = new PeerDirectory();
        directory.announce(address(escrow), addresses);
        directory.announce(address(escrow), new bytes(1024));
        vm.expectRevert(abi.encodeWithSelector(PeerDirectory.AddressesTooLong.selector, 1025));
        directory.announce(address(escrow), new bytes(1025));
    }

    function test_modelOf_WhenThereIsNone() external {
        vm.expectPartialRevert(IRegistry.UnknownModel.selector);
        registry.modelOf(bytes32(uint256(1)));
    }

    function _proved() private view returns (uint256[] memory inputs, uint256[8] memory proof) {
        inputs = new uint256[](3);
        (inputs[0], inputs[1], inputs[2]) = (49, 343, 7);
        proof = simulate([uint256(49), 343, 7]);
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Groth16} from "../src/Groth16.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Packing} from "../src/Packing.sol";
import {Award, ModelRecord, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";

/// The branches of settleBatch in Escrow.tree, with fuzzed choices.
contract BatchTest is Market {
    function setUp() external {
        openMarket();
    }

    /// A batch of one pays exactly what `settle` pays.
    function testFuzz_settleBatch_OfOneIsSettle(uint256 price, bool locked, uint256 wait) external {
        Order memory order = newOrder(1);
        Award memory award = newAward(order, prover, price % 1 ether);
        if (locked) lockIt(order, award);
        vm.warp(START + wait % 220);
        Settlement memory s = settlement(order, award);
        uint256 snapshot = vm.snapshotState();
        vm.prank(settler);
        (bool alone, bytes memory why) = address(escrow).call(abi.encodeCall(escrow.settle, (s)));
        uint256[5] memory expected = balances();
        vm.revertToState(snapshot);
        vm.prank(settler);
        (bool batched, bytes memory answer) = address(escrow).call(abi.encodeCall(escrow.settleBatch, (pack(one(s)))));
        require(alone == batched, "same outcome");
        if (alone) {
            uint256[5] memory found = balances();
            for (uint256 i = 0; i < 5; i++) {
                require(found[i] == expected[i], "same payment");
            }
            require(abi.decode(answer, (bytes4[]))[0] == 0);
        } else {
            require(bytes4(answer) == IEscrow.NothingLive.selector && why.length > 3);
        }
    }

    /// Whatever is chosen to be bad: the batch passes if and only if no live job has a bad proof.
    function testFuzz_settleBatch_PassesOnlyWithoutABadProof(uint8 bad, uint8 settled) external {
        Settlement[] memory jobs = new Settlement[](8);
        for (uint256 i = 0; i < 8; i++) {
            Order memory order = newOrder(10 + i);
            jobs[i] = settlement(order, newAward(order, prover, 1));
            if ((settled >> i) % 2 == 1) escrow.settle(jobs[i]);
            // A good proof of another job.
            if ((bad >> i) % 2 == 1) jobs[i].proof = settlement(newOrder(99), newAward(newOrder(99), prover, 1)).proof;
        }
        if (settled == 255) vm.expectPartialRevert(IEscrow.NothingLive.selector);
        else if (bad & ~settled != 0) vm.expectPartialRevert(Groth16.ProofInvalid.selector);
        bytes4[] memory refusals = escrow.settleBatch(pack(jobs));
        if (settled == 255 || bad & ~settled != 0) return;
        for (uint256 i = 0; i < 8; i++) {
            bytes4 expected = (settled >> i) % 2 == 1 ? IEscrow.AlreadySettled.selector : bytes4(0);
            require(refusals[i] == expected, "refusal");
        }
    }

    function testFuzz_settleBatch_WhenAWordOfAProofIsChanged(uint256 word, uint256 bit) external {
        Settlement[] memory jobs = new Settlement[](2);
        for (uint256 i = 0; i < 2; i++) {
            Order memory order = newOrder(20 + i);
            jobs[i] = settlement(order, newAward(order, prover, 1));
        }
        jobs[1].proof[word % 8] ^= 1 << (bit % 256);
        (bool done,) = address(escrow).call{gas: 5_000_000}(abi.encodeCall(escrow.settleBatch, (pack(jobs))));
        require(!done);
    }

    /// Points at infinity, which the precompiles take, are no proof of anything.
    function test_settleBatch_WhenAPointIsAtInfinity() external {
        Order memory order = newOrder(30);
        for (uint256 k = 0; k < 3; k++) {
            Settlement memory s = settlement(order, newAward(order, prover, 1));
            (uint256 from, uint256 to) = k == 0 ? (0, 2) : k == 1 ? (2, 6) : (6, 8);
            for (uint256 i = from; i < to; i++) {
                s.proof[i] = 0;
            }
            vm.expectPartialRevert(Groth16.ProofInvalid.selector);
            escrow.settleBatch(pack(one(s)));
            vm.expectPartialRevert(Groth16.ProofInvalid.selector);
            escrow.settle(s);
        }
    }

    /// Each job sees what the ones before it paid, also the fee and the royalty, which are written late.
    function testFuzz_settleBatch_WhatOneJobEarnsPaysForTheNext(bool byRoyalty) external {
        settler = byRoyalty ? settler : client;
        if (byRoyalty) {
            vm.prank(client);
            modelId = registry.publishModel(ModelRecord(programId, 0, 0, 0, 0, 0, 0, 250, "", ""));
        }
        Settlement[] memory jobs = new Settlement[](3);
        for (uint256 i = 0; i < 3; i++) {
            Order memory order = newOrder(60 + i);
            jobs[i] = settlement(order, newAward(order, prover, 0.1 ether));
        }
        // Enough for all three only with what the first two give back.
        uint256 earned = byRoyalty ? 0.0025 ether : 1001;
        uint256 spare = 10 ether - 3 * (0.1 ether + 1001) + 2 * earned;
        vm.prank(client);
        escrow.requestWithdraw(spare);
        vm.warp(START + DELAY);
        vm.prank(client);
        escrow.withdraw(payable(rival));
        vm.warp(START);
        vm.prank(settler);
        bytes4[] memory refusals = escrow.settleBatch(pack(jobs));
        require(refusals[0] == 0 && refusals[1] == 0 && refusals[2] == 0, "all three");
        require(escrow.balanceOf(client) == earned, "the last one's");
    }

    function test_settleBatch_WhenTheWalletOfAClientBurnsItsGas() external {
        Greedy wallet = new Greedy();
        fund(address(wallet), 1 ether);
        Settlement[] memory jobs = new Settlement[](3);
        for (uint256 i = 0; i < 3; i++) {
            Order memory order = newOrder(40 + i);
            if (i == 1) order.client = address(wallet);
            jobs[i] = settlement(order, newAward(order, prover, 1));
        }
        bytes4[] memory refusals = escrow.settleBatch{gas: 2_000_000}(pack(jobs));
        require(refusals[0] == 0 && refusals[2] == 0 && refusals[1] == IEscrow.BadSignature.selector);
    }

    function testFuzz_settleBatch_WhenTheDataIsCut(uint256 length) external {
        Order memory order = newOrder(50);
        bytes memory packed = pack(one(settlement(order, newAward(order, prover, 1))));
        length %= packed.length;
        assembly ("memory-safe") {
            mstore(packed, length)
        }
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settleBatch, (packed)));
        require(!done);
    }

    /// Behind the data zeros would be read: also where zeros are missing, here of a signature that nobody looks at.
    function test_settleBatch_WhenWhatIsCutIsZero() external {
        Order memory order = newOrder(53);
        Award memory award = newAward(order, prover, 1);
        lockIt(order, award);
        Settlement memory s = settlement(order, award);
        s.signature = new bytes(5);
        bytes memory packed = pack(one(s));
        for (uint256 missing = 1; missing < 6; missing++) {
            bytes memory cut = _cut(packed, packed.length - missing);
            vm.expectRevert(Packing.BatchMalformed.selector);
            escrow.settleBatch(cut);
        }
        escrow.settleBatch(packed);
    }

    function test_settleBatch_WhenItIsTooLarge() external {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.BatchTooLarge.selector, 129));
        escrow.settleBatch(hex"000081");
    }

    /// A field with more bits than its type is a term that is not taken, whichever it is.
    function test_settleBatch_WhenAFieldHasTooManyBits() external {
        Settlement[] memory jobs = new Settlement[](2);
        for (uint256 i = 0; i < 2; i++) {
            Order memory order = newOrder(54 + i);
            jobs[i] = settlement(order, newAward(order, prover, 1));
        }
        // Of the words of the second job: the order's but for its input commitment and salt, then the award's.
        uint8[15] memory narrow = [0, 3, 5, 7, 10, 11, 13, 14, 16, 17, 18, 21, 22, 24, 25];
        uint256 job = 2 + 32 * (27 + 1);
        for (uint256 i = 0; i < narrow.length; i++) {
            bytes memory packed = pack(jobs);
            packed[job + 32 * uint256(narrow[i])] = 0x01;
            uint256 snapshot = vm.snapshotState();
            bytes4[] memory refusals = escrow.settleBatch(packed);
            require(refusals[0] == 0 && refusals[1] == IEscrow.OrderMalformed.selector, "malformed");
            vm.revertToState(snapshot);
        }
    }

    /// The packed calls do what the readable ones do; data that is cut changes nothing.
    function testFuzz_lockPacked_IsLock(uint256 price, uint256 cut) external {
        Order memory order = newOrder(52);
        Award memory award = newAward(order, prover, price % 1 ether);
        bytes memory signed = bytes.concat(packSingle(order, award), sign(award));
        uint256 snapshot = vm.snapshotState();
        lockIt(order, award);
        (Status status, bytes31 content) = escrow.stateOf(award.orderHash);
        uint256 left = escrow.balanceOf(client);
        vm.revertToState(snapshot);
        bytes memory data = abi.encodeCall(escrow.lockPacked, (_cut(signed, cut % signed.length)));
        vm.prank(prover);
        (bool done,) = address(escrow).call(data);
        require(!done, "cut");
        vm.prank(prover);
        escrow.lockPacked(signed);
        (Status locked, bytes31 held) = escrow.stateOf(award.orderHash);
        require(locked == status && held == content && escrow.balanceOf(client) == left, "same lock");
    }

    /// Data that goes on is taken: what would be a signature is not looked at.
    function testFuzz_expirePacked_IsExpire(uint256 price, uint256 cut, bytes calldata tail) external {
        Order memory order = newOrder(52);
        Award memory award = newAward(order, prover, price % 1 ether);
        lockIt(order, award);
        vm.warp(order.finalBy + 1);
        bytes memory packed = packSingle(order, award);
        bytes memory data = abi.encodeCall(escrow.expirePacked, (_cut(packed, cut % (packed.length - 8))));
        (bool done,) = address(escrow).call(data);
        require(!done, "cut");
        escrow.expirePacked(bytes.concat(packed, tail));
        require(escrow.balanceOf(client) == 10 ether && escrow.balanceOf(escrow.BURNED()) == order.collateral);
    }

    function _cut(bytes memory data, uint256 length) private pure returns (bytes memory cut) {
        cut = new bytes(length);
        for (uint256 i = 0; i < length; i++) {
            cut[i] = data[i];
        }
    }

    function one(Settlement memory s) private pure returns (Settlement[] memory jobs) {
        jobs = new Settlement[](1);
        jobs[0] = s;
    }

    function balances() private view returns (uint256[5] memory) {
        return [
            escrow.balanceOf(client),
            escrow.balanceOf(prover),
            escrow.balanceOf(settler),
            escrow.balanceOf(publisher),
            escrow.balanceOf(escrow.BURNED())
        ];
    }
}

/// A wallet that spends all gas it is given instead of answering.
contract Greedy {
    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        while (true) {}
        return 0x1626ba7e;
    }
}

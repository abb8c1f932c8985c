// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CreditGate} from "../src/CreditGate.sol";
import {Escrow} from "../src/Escrow.sol";
import {Groth16} from "../src/Groth16.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {IProofConsumer} from "../src/IProofConsumer.sol";
import {ProofConsumer} from "../src/ProofConsumer.sol";
import {Award, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";

/// Whatever a consumer does, the payment stands; what it missed it can get later, once.
contract ConsumerTest is Market {
    /// Public inputs of the longest statement that the Registry takes a key for.
    uint256 private constant LONGEST = (Groth16.MAX_KEY - Groth16.HEAD) / 2 - 1;
    /// The gas of a consumer, less what it takes to get to its first line, without the optimiser too.
    uint256 private constant ALL = 198_000;

    function setUp() external {
        openMarket();
    }

    function test_consumer_IsToldWhatWasProved() external {
        Recorder recorder = new Recorder();
        Order memory order = orderFor(address(recorder), 1);
        order.context = "context";
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        escrow.settle(s);
        require(recorder.calls() == 1 && recorder.orderHash() == s.award.orderHash);
        require(recorder.client() == client && recorder.context() == "context");
        require(recorder.programId() == programId && recorder.inputs(0) == 49 && recorder.inputs(1) == 343);
        require(recorder.inputs(2) == escrow.binding(s.award.orderHash, prover, settler));
        require(delivered(s));
        uint256[] memory inputs = statement(s);
        vm.expectPartialRevert(IEscrow.AlreadyDelivered.selector);
        escrow.claim(order, inputs);
    }

    function testFuzz_consumer_CannotHinderPayment(uint8 how, bool batched) external {
        Hostile hostile = new Hostile(escrow, how % 5);
        Order memory order = orderFor(address(hostile), 2);
        Settlement memory s = settlement(order, newAward(order, prover, 0.5 ether));
        hostile.aim(order, statement(s), s);
        uint256 before = escrow.balanceOf(prover);
        if (batched) {
            Settlement[] memory jobs = new Settlement[](2);
            Order memory other = newOrder(3);
            (jobs[0], jobs[1]) = (s, settlement(other, newAward(other, prover, 0.5 ether)));
            escrow.settleBatch{gas: 2_000_000}(pack(jobs));
        } else {
            escrow.settle{gas: 1_500_000}(s);
        }
        require(escrow.balanceOf(prover) > before && !delivered(s));
        require(!hostile.succeeded(), "reentered");
        hostile.behave();
        escrow.claim(order, statement(s));
        require(delivered(s));
    }

    function test_consumer_CannotBeStarvedByTheSender() external {
        Recorder recorder = new Recorder();
        Order memory order = orderFor(address(recorder), 4);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        uint256 starved;
        for (uint256 limit = 300_000; limit < 900_000; limit += 25_000) {
            uint256 snapshot = vm.snapshotState();
            (bool done,) = address(escrow).call{gas: limit}(abi.encodeCall(escrow.settle, (s)));
            if (done && !delivered(s)) starved++;
            vm.revertToState(snapshot);
        }
        require(starved == 0, "a settlement succeeded whose consumer lacked gas");
    }

    /// What it costs to write down a long statement for the consumer is not the consumer's.
    function test_consumer_CannotBeStarvedByALongStatement() external {
        uint256[] memory vk = longKey(LONGEST);
        Order memory order = orderFor(address(new Gauge()), 8);
        order.programId = registry.registerProgram(1, vk, bytes32(0), bytes32(0), true);
        (order.modelId, order.royaltyBps) = (0, 0);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        s.outputs = new uint256[](LONGEST - 2);
        uint256[] memory inputs = new uint256[](LONGEST);
        (inputs[0], inputs[LONGEST - 1]) = (49, escrow.binding(s.award.orderHash, prover, settler));
        s.proof = simulate(inputs);
        (uint256 low, uint256 high) = (2_000_000, 8_000_000);
        while (high - low > 500) {
            uint256 limit = (low + high) / 2;
            if (settles(s, limit)) high = limit;
            else low = limit;
        }
        for (uint256 limit = high; limit < high + 60_000; limit += 6_000) {
            uint256 snapshot = vm.snapshotState();
            (bool done,) = address(escrow).call{gas: limit}(abi.encodeCall(escrow.settle, (s)));
            require(done && Gauge(order.consumer).given() >= ALL, "a consumer got less than its gas");
            vm.revertToState(snapshot);
        }
    }

    /// Who brings a claim cannot make a consumer fail in what it catches itself.
    function test_claim_CannotStarveTheConsumer() external {
        address later = address(0x1A7E9);
        Order memory order = orderFor(later, 9);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        escrow.settle(s);
        vm.etch(later, address(new Gauge()).code);
        bytes memory data = abi.encodeCall(escrow.claim, (order, statement(s)));
        for (uint256 limit = 60_000; limit < 400_000; limit += 10_000) {
            uint256 snapshot = vm.snapshotState();
            (bool done,) = address(escrow).call{gas: limit}(data);
            require(!done || Gauge(later).given() >= ALL, "a consumer got less than its gas");
            require(done || limit < 300_000, "a claim with enough gas failed");
            vm.revertToState(snapshot);
        }
    }

    function settles(Settlement memory s, uint256 limit) private returns (bool done) {
        uint256 snapshot = vm.snapshotState();
        (done,) = address(escrow).call{gas: limit}(abi.encodeCall(escrow.settle, (s)));
        vm.revertToState(snapshot);
    }

    function test_consumer_WithoutCodeCanClaimWhenItHasSome() external {
        address later = address(0x1A7E8);
        Order memory order = orderFor(later, 5);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        escrow.settle(s);
        require(!delivered(s));
        vm.etch(later, address(new Recorder()).code);
        escrow.claim(order, statement(s));
        require(delivered(s) && Recorder(later).calls() == 1);
    }

    function testFuzz_claim_OnlyTheSettledStatement(uint256 index, uint256 other) external {
        Hostile hostile = new Hostile(escrow, 0);
        Order memory order = orderFor(address(hostile), 6);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        uint256[] memory inputs = statement(s);
        vm.expectPartialRevert(IEscrow.NotSettled.selector);
        escrow.claim(order, inputs);
        escrow.settle(s);
        vm.expectPartialRevert(IEscrow.CallbackRefused.selector);
        escrow.claim(order, inputs);
        hostile.behave();
        if (inputs[index % 3] != other) {
            inputs[index % 3] = other;
            vm.expectPartialRevert(IEscrow.AnotherStatement.selector);
            escrow.claim(order, inputs);
        }
        escrow.claim(order, statement(s));
    }

    function test_claim_WithoutAConsumer() external {
        Order memory order = newOrder(7);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        escrow.settle(s);
        uint256[] memory inputs = statement(s);
        vm.expectPartialRevert(IEscrow.NoConsumer.selector);
        escrow.claim(order, inputs);
    }

    function orderFor(address consumer, uint256 salt) private view returns (Order memory order) {
        order = newOrder(salt);
        order.consumer = consumer;
    }

    function statement(Settlement memory s) private view returns (uint256[] memory inputs) {
        inputs = new uint256[](3);
        (inputs[0], inputs[1]) = (uint256(s.order.inputCommitment), s.outputs[0]);
        inputs[2] = escrow.binding(s.award.orderHash, s.award.payout, s.settler);
    }

    function delivered(Settlement memory s) private view returns (bool done) {
        (, done) = escrow.flagsOf(s.award.orderHash);
    }
}

/// Each refusal of a pool that lends without collateral.
contract CreditGateTest is Market {
    uint256 private constant ISSUER_KEY = 0x155E;
    bytes32 private constant DATA = bytes32(uint256(49));

    CreditGate private gate;
    address private borrower;

    function setUp() external {
        openMarket();
        uint256[] memory result = new uint256[](1);
        result[0] = 1;
        gate = new CreditGate(address(escrow), registry, programId, result, vm.addr(ISSUER_KEY), 1 ether);
        vm.deal(address(gate), 10 ether);
        borrower = client;
    }

    function test_borrowWithProof() external {
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        borrowAs(borrower, DATA, 1, attestation, "");
        require(borrower.balance == 1 ether);
    }

    function test_borrow_ThroughTheMarket() external {
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.NotProved.selector);
        gate.borrow(DATA, uint64(START + 100), attestation);
        marketProof(1, 1);
        vm.prank(borrower);
        gate.borrow(DATA, uint64(START + 100), attestation);
        require(borrower.balance == 1 ether);
    }

    function test_borrow_WhenTheScoreIsBelow() external {
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        borrowAs(borrower, DATA, 0, attestation, CreditGate.ResultRefused.selector);
        marketProof(2, 0); // the consumer refuses, the prover is paid
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.NotProved.selector);
        gate.borrow(DATA, uint64(START + 100), attestation);
    }

    function test_borrow_WhenTheDataIsSelfMade() external {
        bytes32 digest = gate.attestationDigest(DATA, borrower, uint64(START + 100));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CLIENT_KEY, digest);
        borrowAs(borrower, DATA, 1, abi.encodePacked(r, s, v), CreditGate.NotAttested.selector);
        bytes memory ofOtherData = attest(bytes32(uint256(50)), borrower, uint64(START + 100));
        borrowAs(borrower, DATA, 1, ofOtherData, CreditGate.NotAttested.selector);
    }

    function test_borrow_WithASecondWallet() external {
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        // Its own proof, another's attestation.
        borrowAs(rival, DATA, 1, attestation, CreditGate.NotAttested.selector);
        // Another's proof, bound to the other wallet.
        uint256[3] memory inputs = [uint256(DATA), 1, gate.localBinding(borrower)];
        uint256[8] memory proof = simulate(inputs);
        vm.prank(rival);
        vm.expectPartialRevert(ProofConsumer.NotBoundTo.selector);
        gate.borrowWithProof(list(inputs), proof, uint64(START + 100), attestation);
        // Another's proof through the market: it is the client's.
        marketProof(3, 1);
        bytes memory ofRival = attest(DATA, rival, uint64(START + 100));
        vm.prank(rival);
        vm.expectPartialRevert(CreditGate.NotProved.selector);
        gate.borrow(DATA, uint64(START + 100), ofRival);
    }

    function test_borrow_Twice() external {
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        borrowAs(borrower, DATA, 1, attestation, "");
        // The same proof, then the same statement through the market: a new proof, the same nullifier.
        borrowAs(borrower, DATA, 1, attestation, CreditGate.AlreadyUsed.selector);
        marketProof(4, 1);
        bytes memory renewed = attest(DATA, borrower, uint64(START + 200));
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.AlreadyUsed.selector);
        gate.borrow(DATA, uint64(START + 200), renewed);
    }

    function testFuzz_borrow_WhenTheAttestationExpired(uint64 wait) external {
        wait %= 200;
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        vm.warp(START + wait);
        borrowAs(borrower, DATA, 1, attestation, wait > 100 ? CreditGate.AttestationExpired.selector : bytes4(""));
    }

    function test_borrow_WithAnotherThreshold() external {
        uint256[] memory result = new uint256[](2);
        (result[0], result[1]) = (600, 1);
        CreditGate strict = new CreditGate(address(escrow), registry, programId, result, vm.addr(ISSUER_KEY), 1 ether);
        uint256[3] memory inputs = [uint256(DATA), 1, strict.localBinding(borrower)];
        uint256[8] memory proof = simulate(inputs);
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.ResultRefused.selector);
        strict.borrowWithProof(list(inputs), proof, uint64(START + 100), "");
    }

    function test_borrow_WithABadProof() external {
        uint256[3] memory inputs = [uint256(DATA), 1, gate.localBinding(borrower)];
        uint256[8] memory proof = simulate([uint256(DATA), 0, inputs[2]]);
        vm.prank(borrower);
        vm.expectPartialRevert(Groth16.ProofInvalid.selector);
        gate.borrowWithProof(list(inputs), proof, uint64(START + 100), "");
    }

    /// Where anybody can forge a proof, a pool lends only if its Escrow is one for development, too.
    function test_constructor_OfADevelopmentProgramOnlyWhereTheEscrowTakesOne() external {
        Escrow earnest = new Escrow(registry, false, DELAY);
        address issuer = vm.addr(ISSUER_KEY);
        vm.expectPartialRevert(IEscrow.DevProgramRefused.selector);
        new CreditGate(address(earnest), registry, programId, new uint256[](1), issuer, 1 ether);
        bytes32 ceremony = registry.registerProgram(1, key(), bytes32(0), bytes32(0), false);
        CreditGate lends = new CreditGate(address(earnest), registry, ceremony, new uint256[](1), issuer, 1 ether);
        require(lends.programId() == ceremony && lends.escrow() == address(earnest));
    }

    function test_onProof_OnlyByTheEscrowAndOfTheProgram() external {
        uint256[] memory inputs = new uint256[](3);
        vm.expectPartialRevert(ProofConsumer.NotEscrow.selector);
        gate.onProof(0, borrower, 0, programId, inputs);
        vm.prank(address(escrow));
        vm.expectPartialRevert(ProofConsumer.AnotherProgram.selector);
        gate.onProof(0, borrower, 0, bytes32(uint256(1)), inputs);
        vm.prank(address(escrow));
        vm.expectPartialRevert(ProofConsumer.StatementTooShort.selector);
        gate.onProof(0, borrower, 0, programId, new uint256[](1));
    }

    function test_borrow_WhenThePoolIsEmpty() external {
        vm.deal(address(gate), 1 ether - 1);
        bytes memory attestation = attest(DATA, borrower, uint64(START + 100));
        borrowAs(borrower, DATA, 1, attestation, CreditGate.PoolEmpty.selector);
    }

    function borrowAs(address who, bytes32 data, uint256 result, bytes memory attestation, bytes4 refusal) private {
        uint256[3] memory inputs = [uint256(data), result, gate.localBinding(who)];
        uint256[8] memory proof = simulate(inputs);
        vm.prank(who);
        if (refusal != "") vm.expectPartialRevert(refusal);
        gate.borrowWithProof(list(inputs), proof, uint64(START + 100), attestation);
    }

    /// The borrower orders a proof for the gate in the market, with this result.
    function marketProof(uint256 salt, uint256 result) private {
        Order memory order = newOrder(salt);
        (order.consumer, order.inputCommitment) = (address(gate), DATA);
        Award memory award = newAward(order, prover, 1);
        Settlement memory s = settlement(order, award);
        s.outputs[0] = result;
        s.proof = simulate([uint256(DATA), result, escrow.binding(award.orderHash, prover, settler)]);
        escrow.settle(s);
    }

    function attest(bytes32 data, address subject, uint64 expiresAt) private returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(ISSUER_KEY, gate.attestationDigest(data, subject, expiresAt));
        return abi.encodePacked(r, s, v);
    }

    function list(uint256[3] memory inputs) private pure returns (uint256[] memory out) {
        out = new uint256[](3);
        (out[0], out[1], out[2]) = (inputs[0], inputs[1], inputs[2]);
    }
}

/// Keeps how much gas it was given.
contract Gauge is IProofConsumer {
    uint256 public given;

    function onProof(bytes32, address, bytes32, bytes32, uint256[] calldata) external {
        given = gasleft();
    }
}

contract Recorder is IProofConsumer {
    bytes32 public orderHash;
    address public client;
    uint96 public calls;
    bytes32 public context;
    bytes32 public programId;
    uint256[] public inputs;

    function onProof(bytes32 orderHash_, address client_, bytes32 context_, bytes32 program, uint256[] calldata list)
        external
    {
        calls++;
        (orderHash, client, context, programId, inputs) = (orderHash_, client_, context_, program, list);
    }
}

/// Reverts, burns its gas, returns a bomb, or enters the Escrow again; until it is told to behave.
contract Hostile is IProofConsumer {
    IEscrow private immutable _escrow;
    uint256 private _how;
    bytes[] private _attacks;
    bool public succeeded;

    constructor(IEscrow escrow, uint256 how) {
        (_escrow, _how) = (escrow, how);
    }

    function aim(Order memory order, uint256[] memory inputs, Settlement memory s) external {
        _attacks.push(abi.encodeCall(_escrow.claim, (order, inputs)));
        _attacks.push(abi.encodeCall(_escrow.settle, (s)));
        _attacks.push(abi.encodeCall(_escrow.withdraw, (payable(address(this)))));
        _attacks.push(abi.encodeCall(_escrow.expire, (order, s.award)));
    }

    function behave() external {
        _how = 99;
    }

    function onProof(bytes32, address, bytes32, bytes32, uint256[] calldata) external {
        if (_how == 0) revert("no");
        if (_how == 1) while (true) {}
        if (_how == 2) {
            assembly {
                return(0, 1000000)
            }
        }
        if (_how == 3) {
            assembly {
                revert(0, 100000)
            }
        }
        if (_how == 4) {
            for (uint256 i = 0; i < _attacks.length; i++) {
                (bool done,) = address(_escrow).call(_attacks[i]);
                if (done) succeeded = true;
            }
            revert("tried");
        }
    }
}

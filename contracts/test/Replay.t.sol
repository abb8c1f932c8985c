// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CreditGate} from "../src/CreditGate.sol";
import {Escrow} from "../src/Escrow.sol";
import {Groth16} from "../src/Groth16.sol";
import {Groth16Verifier} from "../src/Groth16Verifier.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Award, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";

/// What was signed or proved once is worth nothing a second time, elsewhere, or in another form.
contract ReplayTest is Market {
    uint256 private constant GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 private constant ISSUER_KEY = 0x155E;

    function setUp() external {
        openMarket();
    }

    function testFuzz_signature_OfAnotherChainIsVoid(uint64 elsewhere) external {
        uint256 here = 31337; // not block.chainid, which the optimiser may read again later
        uint256 other = elsewhere == 0 || elsewhere == here ? here + 1 : elsewhere;
        Order memory order = newOrder(1);
        vm.chainId(other);
        Award memory award = newAward(order, prover, 1);
        bytes memory signature = sign(award);
        vm.chainId(here);
        expectNoLock(order, award, signature, IEscrow.AwardForAnotherOrder.selector);
        award.orderHash = escrow.orderDigest(order);
        expectNoLock(order, award, signature, IEscrow.BadSignature.selector);
    }

    /// The chain splits and this branch takes another id: what was signed before belongs to the other branch.
    function test_signature_FromBeforeAForkIsVoidOnTheBranchWithANewId() external {
        Order memory order = newOrder(2);
        Award memory award = newAward(order, prover, 1);
        bytes memory signature = sign(award);
        Settlement memory s = settlement(order, award);
        vm.chainId(block.chainid + 1);
        expectNoLock(order, award, signature, IEscrow.AwardForAnotherOrder.selector);
        vm.expectPartialRevert(IEscrow.AwardForAnotherOrder.selector);
        escrow.settle(s);
        Award memory again = newAward(order, prover, 1);
        expectNoLock(order, again, signature, IEscrow.BadSignature.selector);
        lockIt(order, again); // signed anew it holds
    }

    function test_signature_AndProofForAnotherDeploymentAreVoid() external {
        Order memory order = newOrder(3);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        Escrow other = new Escrow(registry, true, DELAY);
        vm.deal(address(this), 1 ether);
        other.depositFor{value: 1 ether}(client);
        vm.expectPartialRevert(IEscrow.AwardForAnotherOrder.selector);
        other.settle(s);
        s.award.orderHash = other.orderDigest(order);
        vm.expectPartialRevert(IEscrow.BadSignature.selector);
        other.settle(s);
        (uint8 v, bytes32 r, bytes32 t) = vm.sign(CLIENT_KEY, other.awardDigest(s.award));
        s.signature = abi.encodePacked(r, t, v);
        vm.expectPartialRevert(Groth16.ProofInvalid.selector);
        other.settle(s); // bound to the order of the first deployment
    }

    function test_signature_InAnyOtherFormIsNotTaken() external {
        Order memory order = newOrder(4);
        Award memory award = newAward(order, prover, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CLIENT_KEY, escrow.awardDigest(award));
        bytes32 high = bytes32(GROUP_ORDER - uint256(s));
        bytes32 compact = bytes32(uint256(s) | (uint256(v - 27) << 255));
        bytes4 bad = IEscrow.BadSignature.selector;
        expectNoLock(order, award, abi.encodePacked(r, high, uint8(v == 27 ? 28 : 27)), bad); // EIP-2
        expectNoLock(order, award, abi.encodePacked(r, compact), bad); // EIP-2098
        expectNoLock(order, award, abi.encodePacked(r, s, uint8(v - 27)), bad);
        expectNoLock(order, award, abi.encodePacked(r, s, v, uint8(0)), bad);
        expectNoLock(order, award, abi.encode(r, s, v), bad);
        expectNoLock(order, award, "", bad);
        expectNoLock(order, award, abi.encodePacked(bytes32(0), bytes32(0), v), bad);
        lockIt(order, award);
    }

    function testFuzz_signature_WithAnyBitFlippedIsNotTaken(uint256 bit) external {
        Order memory order = newOrder(5);
        Award memory award = newAward(order, prover, 1);
        bytes memory signature = sign(award);
        bit %= 520;
        signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        expectNoLock(order, award, signature, IEscrow.BadSignature.selector);
    }

    /// An award is no order and an order no award: the types are in what is signed.
    function test_signature_OfAnOrderIsNoSignatureOfAnAward() external {
        Order memory order = newOrder(6);
        Award memory award = newAward(order, prover, 1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CLIENT_KEY, award.orderHash);
        expectNoLock(order, award, abi.encodePacked(r, s, v), IEscrow.BadSignature.selector);
        order.kind = 1;
        (order.rampStart, order.rampEnd) = (uint64(block.timestamp), uint64(block.timestamp));
        award = newAward(order, prover, 1);
        expectNoLock(order, award, sign(award), IEscrow.BadSignature.selector);
    }

    /// Groth16 proofs can be changed by anybody into other proofs of the same statement. (A, B + s delta, C + s A) is
    /// one, from public data alone; it pays the same accounts, and no second time.
    function test_proof_ReRandomisedSettlesTheSameStatementOnce() external {
        Order memory order = newOrder(7);
        Settlement memory s = settlement(order, newAward(order, prover, 1 ether));
        Settlement memory changed = settlement(order, s.award);
        changed.proof = rerandomised(s.proof);
        require(keccak256(abi.encode(changed.proof)) != keccak256(abi.encode(s.proof)));
        uint256 before = escrow.balanceOf(prover);
        vm.prank(rival); // who copied it earns nothing, not even the fee
        escrow.settle(changed);
        require(escrow.balanceOf(prover) == before + 1 ether - 0.025 ether + 1001, "payout");
        require(escrow.balanceOf(rival) == 10 ether, "rival");
        vm.expectPartialRevert(IEscrow.AlreadySettled.selector);
        escrow.settle(s);
    }

    function test_proof_ReRandomisedBorrowsNoSecondTime() external {
        address borrower = address(0xB0B);
        uint256[] memory result = new uint256[](1);
        result[0] = 343;
        CreditGate gate = new CreditGate(address(escrow), registry, programId, result, vm.addr(ISSUER_KEY), 1 ether);
        vm.deal(address(gate), 10 ether);
        uint256[] memory inputs = new uint256[](3);
        (inputs[0], inputs[1], inputs[2]) = (49, 343, gate.localBinding(borrower));
        uint256[8] memory proof = simulate([inputs[0], inputs[1], inputs[2]]);
        uint64 expiresAt = uint64(block.timestamp + 100);
        (uint8 v, bytes32 r, bytes32 t) =
            vm.sign(ISSUER_KEY, gate.attestationDigest(bytes32(inputs[0]), borrower, expiresAt));
        bytes memory attestation = abi.encodePacked(r, t, v);
        vm.prank(borrower);
        gate.borrowWithProof(inputs, proof, expiresAt, attestation);
        uint256[8] memory changed = rerandomised(proof);
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.AlreadyUsed.selector);
        gate.borrowWithProof(inputs, changed, expiresAt, attestation);
        // In another form the attestation is none.
        bytes32 high = bytes32(GROUP_ORDER - uint256(t));
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.NotAttested.selector);
        gate.borrowWithProof(inputs, proof, expiresAt, abi.encodePacked(r, high, uint8(v == 27 ? 28 : 27)));
    }

    /// Coordinates at or above the field's order are the same points to careless code.
    function test_proof_WithUnreducedCoordinatesIsNotTaken() external {
        Order memory order = newOrder(8);
        for (uint256 i = 0; i < 8; i++) {
            Settlement memory s = settlement(order, newAward(order, prover, 1));
            s.proof[i] += 21888242871839275222246405745257275088696311157297823662689037894645226208583;
            vm.expectPartialRevert(Groth16.ProofNotInField.selector);
            escrow.settle(s);
        }
    }

    function test_rerandomisedProofIsAValidProof() external {
        uint256[] memory inputs = new uint256[](3);
        (inputs[0], inputs[1], inputs[2]) = (49, 343, 5);
        uint256[8] memory proof = simulate([inputs[0], inputs[1], inputs[2]]);
        new Groth16Verifier().verify(key(), inputs, rerandomised(proof));
    }

    /// From B = G2 to B' = 2 G2 = G2 + s delta with delta = 4 G2, so s = 1/4; C' = C + s A.
    function rerandomised(uint256[8] memory proof) private view returns (uint256[8] memory changed) {
        uint256 quarter = 16416182153879456416684804308942956316411273300312025757773653139931856371713;
        uint256[4] memory b = g2(2);
        (changed[0], changed[1]) = (proof[0], proof[1]);
        for (uint256 i = 0; i < 4; i++) {
            changed[2 + i] = b[i];
        }
        (bool done, bytes memory point) = address(7).staticcall(abi.encode(proof[0], proof[1], quarter));
        require(done, "ecMul");
        (uint256 x, uint256 y) = abi.decode(point, (uint256, uint256));
        (done, point) = address(6).staticcall(abi.encode(proof[6], proof[7], x, y));
        require(done, "ecAdd");
        (changed[6], changed[7]) = abi.decode(point, (uint256, uint256));
    }

    function expectNoLock(Order memory order, Award memory award, bytes memory signature, bytes4 reason) private {
        vm.prank(award.prover);
        vm.expectPartialRevert(reason);
        escrow.lock(order, award, signature);
        (Status status,) = escrow.stateOf(award.orderHash);
        require(status == Status.None, "not locked");
    }
}

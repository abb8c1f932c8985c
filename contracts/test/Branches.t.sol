// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CreditGate} from "../src/CreditGate.sol";
import {Groth16} from "../src/Groth16.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {IRegistry} from "../src/IRegistry.sol";
import {TokenDesk} from "../src/TokenDesk.sol";
import {Advice, Award, ModelRecord, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";
import {SignedToken} from "./Tokens.sol";

/// The leaves of the trees that say no, where no other test does.
contract BranchTest is Market {
    function setUp() external {
        openMarket();
    }

    function test_requestWithdraw_AboveTheBalance() external {
        vm.prank(client);
        vm.expectPartialRevert(IEscrow.InsufficientBalance.selector);
        escrow.requestWithdraw(10 ether + 1);
    }

    function test_requestWithdraw_ReplacesAndZeroTakesBack() external {
        vm.prank(client);
        escrow.requestWithdraw(1 ether);
        vm.warp(START + 5);
        vm.prank(client);
        escrow.requestWithdraw(2 ether);
        (uint128 amount, uint64 availableAt) = escrow.pendingWithdrawalOf(client);
        require(amount == 2 ether && availableAt == START + 5 + DELAY);
        require(escrow.balanceOf(client) == 10 ether, "it pays for what is signed until it is taken");
        vm.prank(client);
        escrow.requestWithdraw(0);
        vm.warp(START + 2 * DELAY);
        vm.prank(client);
        vm.expectPartialRevert(IEscrow.NoWithdrawalRequested.selector);
        escrow.withdraw(payable(settler));
    }

    function test_withdraw_WhenTheRecipientIsZeroOrRefuses() external {
        vm.prank(client);
        escrow.requestWithdraw(1 ether);
        vm.warp(START + DELAY);
        vm.prank(client);
        vm.expectPartialRevert(IEscrow.ZeroAddress.selector);
        escrow.withdraw(payable(address(0)));
        vm.prank(client);
        vm.expectPartialRevert(IEscrow.TransferFailed.selector);
        escrow.withdraw(payable(address(registry)));
        require(escrow.balanceOf(client) == 10 ether);
    }

    function test_withdraw_PaysWhatIsLeftOfTheBalance() external {
        vm.prank(client);
        escrow.requestWithdraw(10 ether);
        Order memory order = newOrder(1);
        escrow.settle(settlement(order, newAward(order, prover, 1 ether)));
        vm.warp(START + DELAY);
        vm.prank(client);
        escrow.withdraw(payable(settler));
        require(settler.balance == 9 ether - 1001 && escrow.balanceOf(client) == 0);
    }

    function test_requestCancel_Refusals() external {
        Order memory order = newOrder(2);
        Award memory award = newAward(order, prover, 1);
        vm.expectPartialRevert(IEscrow.NotClient.selector);
        escrow.requestCancel(order);
        lockIt(order, award);
        expectNoCancel(order, IEscrow.AlreadyLocked.selector);
        uint256 snapshot = vm.snapshotState();
        escrow.settle(settlement(order, award));
        expectNoCancel(order, IEscrow.AlreadySettled.selector);
        vm.revertToState(snapshot);
        vm.warp(order.finalBy + 1);
        escrow.expire(order, award);
        expectNoCancel(order, IEscrow.AlreadyExpired.selector);
    }

    /// Before the delay is over a proof is still paid; from then on the order is void.
    function testFuzz_requestCancel_TakesEffectAfterTheDelay(uint256 wait, bool locks) external {
        Order memory order = newOrder(3);
        (order.promiseBy, order.finalBy) = (uint64(START + 2 * DELAY), uint64(START + 2 * DELAY));
        Award memory award = newAward(order, prover, 1);
        vm.prank(client);
        escrow.requestCancel(order);
        expectNoCancel(order, IEscrow.AlreadyCancelled.selector);
        wait %= 2 * DELAY;
        vm.warp(START + wait);
        bytes memory signature = sign(award);
        Settlement memory s = settlement(order, award);
        bool void_ = wait >= DELAY;
        if (locks) {
            vm.prank(prover);
            if (void_) vm.expectPartialRevert(IEscrow.AlreadyCancelled.selector);
            escrow.lock(order, award, signature);
        } else {
            if (void_) vm.expectPartialRevert(IEscrow.AlreadyCancelled.selector);
            escrow.settle(s);
        }
    }

    /// A lock takes the place of a request to cancel: when it is given up, even after the request would have taken
    /// effect, the order is open, and the client asks anew. Each such turn costs a prover an eighth of the collateral.
    function test_release_LeavesNothingOfACancelBeforeTheLock() external {
        Order memory order = newOrder(30);
        (order.promiseBy, order.finalBy) = (uint64(START + 3 * DELAY), uint64(START + 3 * DELAY));
        Award memory award = newAward(order, prover, 1);
        Settlement memory s = settlement(order, award);
        vm.prank(client);
        escrow.requestCancel(order);
        vm.warp(START + DELAY - 1);
        lockIt(order, award);
        expectNoCancel(order, IEscrow.AlreadyLocked.selector);
        vm.warp(START + DELAY + 1);
        vm.prank(prover);
        escrow.release(order, award);
        (Status status,) = escrow.stateOf(award.orderHash);
        require(status == Status.None, "something is left of the cancel");
        vm.prank(client);
        escrow.requestCancel(order);
        vm.warp(START + 2 * DELAY + 1);
        vm.expectPartialRevert(IEscrow.AlreadyCancelled.selector);
        escrow.settle(s);
    }

    function test_lock_Refusals() external {
        Order memory order = newOrder(4);
        Award memory award = newAward(order, prover, 1);
        bytes memory signature = sign(award);
        vm.prank(rival);
        vm.expectPartialRevert(IEscrow.NotProver.selector);
        escrow.lock(order, award, signature);
        vm.warp(award.promiseAt);
        expectNoLock(order, award, signature, IEscrow.PromiseMissed.selector);
        vm.warp(START);
        lockIt(order, award);
        expectNoLock(order, award, signature, IEscrow.AlreadyLocked.selector);
        escrow.settle(settlement(order, award));
        expectNoLock(order, award, signature, IEscrow.AlreadySettled.selector);
    }

    function test_lock_WithoutFunds() external {
        Order memory order = newOrder(5);
        order.priceCap = 11 ether;
        Award memory award = newAward(order, prover, 10 ether - 1000);
        expectNoLock(order, award, sign(award), IEscrow.InsufficientBalance.selector);
        order = newOrder(6);
        order.collateral = 10 ether + 1;
        award = newAward(order, prover, 1);
        expectNoLock(order, award, sign(award), IEscrow.InsufficientBalance.selector);
        require(escrow.balanceOf(client) == 10 ether && escrow.balanceOf(prover) == 10 ether);
    }

    /// Each term on its own; `lock` and `settle` say the same of it.
    function test_terms_EachIsRefused() external {
        bytes4[5] memory expected = [
            IEscrow.UnsupportedKind.selector,
            IEscrow.AmountTooLarge.selector,
            IEscrow.TimeTooLarge.selector,
            IEscrow.PromiseTooLate.selector,
            IEscrow.PriceAboveCap.selector
        ];
        for (uint256 i = 0; i < expected.length; i++) {
            Order memory order = newOrder(4);
            if (i == 0) order.kind = 2;
            if (i == 1) order.collateral = 1 << 128;
            if (i == 2) order.finalBy = 1 << 63;
            Award memory award = newAward(order, prover, i == 4 ? order.priceCap + 1 : 1);
            if (i == 3) award.promiseAt = order.promiseBy + 1;
            Settlement memory s = settlement(order, award);
            vm.expectPartialRevert(expected[i]);
            escrow.settle(s);
            vm.prank(prover);
            vm.expectPartialRevert(expected[i]);
            escrow.lock(order, award, s.signature);
        }
    }

    function test_lock_WhenThePromiseIsAfterFinal() external {
        Order memory order = newOrder(7);
        order.finalBy = order.promiseBy - 1;
        Award memory award = newAward(order, prover, 1);
        expectNoLock(order, award, sign(award), IEscrow.PromiseTooLate.selector);
    }

    function test_settle_WhenItIsFinishedOrLockedByAnotherAward() external {
        Order memory order = newOrder(8);
        Award memory award = newAward(order, prover, 1);
        Settlement memory other = settlement(order, newAward(order, rival, 1));
        lockIt(order, award);
        vm.expectPartialRevert(IEscrow.LockedByAnotherAward.selector);
        escrow.settle(other);
        Settlement memory late = settlement(order, award);
        vm.warp(order.finalBy + 1);
        escrow.expire(order, award);
        vm.expectPartialRevert(IEscrow.AlreadyExpired.selector);
        escrow.settle(late);
    }

    function testFuzz_settle_DirectOnlyUntilPromiseAndFinal(uint256 wait, bool earlyFinal) external {
        Order memory order = newOrder(9);
        if (earlyFinal) order.finalBy = order.promiseBy - 50;
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        wait %= 250;
        vm.warp(START + wait);
        if (wait > 100) vm.expectPartialRevert(IEscrow.PromiseMissed.selector);
        else if (earlyFinal && wait > 50) vm.expectPartialRevert(IEscrow.FinalMissed.selector);
        escrow.settle(s);
    }

    function test_release_AndExpireOfALockThatIsNotThere() external {
        Order memory order = newOrder(10);
        Award memory award = newAward(order, prover, 1);
        Award memory other = newAward(order, prover, 2);
        vm.prank(prover);
        vm.expectPartialRevert(IEscrow.NotLocked.selector);
        escrow.release(order, award);
        vm.expectPartialRevert(IEscrow.NotLocked.selector);
        escrow.expire(order, award);
        lockIt(order, award);
        vm.prank(prover);
        vm.expectPartialRevert(IEscrow.LockedByAnotherAward.selector);
        escrow.release(order, other);
        vm.warp(order.finalBy + 1);
        vm.expectPartialRevert(IEscrow.LockedByAnotherAward.selector);
        escrow.expire(order, other);
        escrow.expire(order, award);
        vm.expectPartialRevert(IEscrow.AlreadyExpired.selector);
        escrow.expire(order, award);
    }

    function test_settleVoided_OfALockThatIsNotThereOrUnsigned() external {
        Order memory order = newOrder(11);
        Award memory locking = newAward(order, prover, 1);
        locking.promiseAt = uint64(START + 10);
        Settlement memory s = settlement(order, newAward(order, rival, 1));
        vm.expectPartialRevert(IEscrow.NotLocked.selector);
        escrow.settleVoided(s, locking);
        lockIt(order, locking);
        vm.warp(START + 11);
        bytes memory good = s.signature;
        s.signature = "";
        vm.expectPartialRevert(IEscrow.BadSignature.selector);
        escrow.settleVoided(s, locking);
        s.signature = good;
        Award memory other = newAward(order, prover, 2);
        vm.expectPartialRevert(IEscrow.LockedByAnotherAward.selector);
        escrow.settleVoided(s, other);
        vm.warp(order.promiseBy + 1);
        vm.expectPartialRevert(IEscrow.PromiseMissed.selector);
        escrow.settleVoided(s, locking);
    }

    function test_submit_WhenTheOrderIsNotOpen() external {
        Order memory order = newOrder(12);
        (order.kind, order.inputHash) = (1, keccak256("input"));
        (order.rampStart, order.rampEnd) = (uint64(START), uint64(START));
        Award memory award = newAward(order, prover, 1);
        vm.prank(client);
        escrow.submit(order);
        uint256 snapshot = vm.snapshotState();
        vm.prank(prover);
        escrow.lock(order, award, "");
        vm.prank(client);
        vm.expectPartialRevert(IEscrow.AlreadyLocked.selector);
        escrow.submit(order);
        vm.revertToState(snapshot);
        vm.prank(client);
        escrow.requestCancel(order);
        vm.warp(START + DELAY);
        vm.prank(client);
        vm.expectPartialRevert(IEscrow.AlreadyCancelled.selector);
        escrow.submit(order);
    }

    function test_borrow_WhenTheBorrowerTakesNoMoney() external {
        uint256[] memory result = new uint256[](1);
        result[0] = 1;
        CreditGate gate = new CreditGate(address(escrow), registry, programId, result, vm.addr(0x155E), 1 ether);
        vm.deal(address(gate), 1 ether);
        address borrower = address(registry); // has code, and no way to take ETH
        uint256[] memory inputs = new uint256[](3);
        (inputs[0], inputs[1], inputs[2]) = (49, 1, gate.localBinding(borrower));
        uint256[8] memory proof = simulate([inputs[0], inputs[1], inputs[2]]);
        uint64 expiresAt = uint64(START + 100);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(0x155E, gate.attestationDigest(bytes32(inputs[0]), borrower, expiresAt));
        vm.prank(borrower);
        vm.expectPartialRevert(CreditGate.TransferFailed.selector);
        gate.borrowWithProof(inputs, proof, expiresAt, abi.encodePacked(r, s, v));
    }

    function test_depositWithPermit_WithoutPermitOrTokens() external {
        SignedToken token = new SignedToken();
        TokenDesk desk = new TokenDesk(escrow);
        vm.prank(rival);
        (bool done,) =
            address(desk).call(abi.encodeCall(desk.depositWithPermit, (address(token), 100, 0, 0, bytes32(0), bytes32(0))));
        require(!done && escrow.totalOf(address(token)) == 0);
    }

    // --- Registry --------------------------------------------------------------------------------

    function test_registerProgram_OfAnotherProofSystemOrKey() external {
        uint256[] memory vk = key();
        vm.expectPartialRevert(IRegistry.UnsupportedProofSystem.selector);
        registry.registerProgram(2, vk, bytes32(0), bytes32(0), true);
        vm.expectPartialRevert(Groth16.WrongKeyLength.selector);
        registry.registerProgram(1, new uint256[](15), bytes32(0), bytes32(0), true);
    }

    function test_registerProgram_AgainChangesNothing() external {
        vm.prank(rival);
        require(registry.registerProgram(1, key(), bytes32(0), bytes32(0), true) == programId);
        require(registry.registerProgram(1, key(), bytes32(0), bytes32(0), false) != programId);
    }

    function test_publishModel_Refusals() external {
        ModelRecord memory record = ModelRecord(programId, 0, 0, 0, 0, 0, 0, 5_001, "", "");
        vm.expectPartialRevert(IRegistry.RoyaltyTooHigh.selector);
        registry.publishModel(record);
        (record.royaltyBps, record.parentModel) = (5_000, "nobody's");
        vm.expectPartialRevert(IRegistry.UnknownModel.selector);
        registry.publishModel(record);
        (record.parentModel, record.programId) = (0, "none");
        vm.expectPartialRevert(IRegistry.UnknownProgram.selector);
        registry.publishModel(record);
        vm.expectPartialRevert(IRegistry.UnknownModel.selector);
        registry.modelOf("none");
        vm.expectPartialRevert(IRegistry.UnknownProgram.selector);
        registry.verifyingKeyOf("none");
    }

    function test_publishModel_AgainChangesNothingAndAnothersIsAnother() external {
        ModelRecord memory record = ModelRecord(programId, 0, 0, 0, 0, 0, 0, 250, "CC0-1.0", "bundle:test");
        vm.prank(publisher);
        require(registry.publishModel(record) == modelId);
        vm.prank(rival); // who copies a record earns nothing with it: the id is another one
        require(registry.publishModel(record) != modelId);
        (address found,) = registry.royaltyOf(modelId);
        require(found == publisher);
    }

    function test_advise_RefusalsAndTheLastWordHolds() external {
        vm.expectPartialRevert(IRegistry.UnknownModel.selector);
        registry.advise("none", Advice.Broken, 0, "");
        vm.expectPartialRevert(IRegistry.NotPublisher.selector);
        registry.advise(modelId, Advice.Broken, 0, "");
        vm.prank(publisher);
        vm.expectPartialRevert(IRegistry.UnknownModel.selector);
        registry.advise(modelId, Advice.Superseded, "none", "");
        vm.prank(publisher);
        registry.advise(modelId, Advice.Superseded, modelId, "");
        vm.prank(publisher);
        registry.advise(modelId, Advice.Broken, 0, "");
        (Advice advice, bytes32 successor) = registry.adviceOf(modelId);
        require(advice == Advice.Broken && successor == 0);
    }

    function testFuzz_lineageOf_IsBounded(uint256 limit) external {
        bytes32 parent = modelId;
        for (uint256 i = 0; i < 3; i++) {
            ModelRecord memory record = ModelRecord(programId, 0, 0, 0, 0, 0, parent, 250, "", "");
            parent = registry.publishModel(record);
        }
        limit %= 7;
        bytes32[] memory ids = registry.lineageOf(parent, limit);
        require(ids.length == (limit < 4 ? limit : 4));
        if (limit > 0) require(ids[0] == parent);
        if (limit > 3) require(ids[3] == modelId);
        require(registry.lineageOf("none", limit).length == 0);
    }

    // ---------------------------------------------------------------------------------------------

    function expectNoCancel(Order memory order, bytes4 reason) private {
        vm.prank(client);
        vm.expectPartialRevert(reason);
        escrow.requestCancel(order);
    }

    function expectNoLock(Order memory order, Award memory award, bytes memory signature, bytes4 reason) private {
        vm.prank(award.prover);
        vm.expectPartialRevert(reason);
        escrow.lock(order, award, signature);
    }
}

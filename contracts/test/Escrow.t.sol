// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Groth16} from "../src/Groth16.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {Award, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";

/// The branches of Escrow.tree.
contract EscrowTest is Market {
    function setUp() external {
        openMarket();
    }

    function test_deposit_WhenTheAccountIsZero() external {
        vm.expectPartialRevert(IEscrow.ZeroAddress.selector);
        escrow.depositFor(address(0));
    }

    function testFuzz_deposit_Credits(uint128 amount) external {
        uint256 before = escrow.total();
        fund(settler, amount);
        require(escrow.balanceOf(settler) == amount && escrow.total() == before + amount);
    }

    function test_deposit_WhenTheAmountIs2To128() external {
        vm.deal(address(this), 1 << 128);
        vm.expectPartialRevert(IEscrow.AmountTooLarge.selector);
        escrow.deposit{value: 1 << 128}();
    }

    function testFuzz_withdraw_BeforeAndAtTheDelay(uint256 amount, uint256 early) external {
        amount = 1 + amount % 10 ether;
        vm.prank(prover);
        escrow.requestWithdraw(amount);
        vm.warp(START + early % DELAY);
        vm.prank(prover);
        vm.expectPartialRevert(IEscrow.WithdrawalNotReady.selector);
        escrow.withdraw(payable(settler));
        vm.warp(START + DELAY);
        vm.prank(prover);
        escrow.withdraw(payable(settler));
        require(settler.balance == amount && escrow.balanceOf(prover) == 10 ether - amount);
    }

    function test_withdraw_WhenTheRecipientEntersAgain() external {
        Reentrant thief = new Reentrant(escrow);
        fund(address(thief), 1 ether);
        thief.request();
        vm.warp(START + DELAY);
        vm.expectPartialRevert(IEscrow.TransferFailed.selector);
        thief.withdraw();
        require(escrow.balanceOf(address(thief)) == 1 ether);
    }

    function testFuzz_settle_Direct(uint256 price) external {
        price %= 1 ether + 1;
        Order memory order = newOrder(1);
        Settlement memory s = settlement(order, newAward(order, prover, price));
        vm.prank(settler);
        escrow.settle(s);
        uint256 royalty = price * 250 / 10_000;
        require(escrow.balanceOf(client) == 10 ether - price - 1001);
        require(escrow.balanceOf(prover) == 10 ether + price - royalty);
        require(escrow.balanceOf(publisher) == royalty && escrow.balanceOf(settler) == 1001);
        vm.expectPartialRevert(IEscrow.AlreadySettled.selector);
        escrow.settle(s);
    }

    function testFuzz_settle_WhenTheProofIsChanged(uint256 word, uint256 bit) external {
        Order memory order = newOrder(2);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        s.proof[word % 8] ^= 1 << (bit % 256);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settle, (s)));
        require(!done);
    }

    function test_settle_WhenAnOutputIsAboveTheField() external {
        Order memory order = newOrder(3);
        Settlement memory s = settlement(order, newAward(order, prover, 1));
        s.outputs[0] += Groth16.R;
        vm.expectPartialRevert(Groth16.InputNotInField.selector);
        escrow.settle(s);
    }

    function testFuzz_settle_Locked(uint256 late) external {
        Order memory order = newOrder(4);
        Award memory award = newAward(order, prover, 0.5 ether);
        lockIt(order, award);
        Settlement memory s = settlement(order, award);
        uint256 instant = START + late % 250;
        vm.warp(instant);
        bool over = instant > order.finalBy;
        if (over) vm.expectPartialRevert(IEscrow.FinalMissed.selector);
        vm.prank(settler);
        escrow.settle(s);
        if (over) return;
        uint256 earned = 0.5 ether - 0.5 ether * 250 / uint256(10_000);
        bool inTime = instant <= award.promiseAt;
        require(escrow.balanceOf(prover) == 10 ether + earned - (inTime ? 0 : 3003));
        require(escrow.balanceOf(escrow.BURNED()) == (inTime ? 0 : 3003));
    }

    function test_settleVoided_WhileThePromiseHolds() external {
        (Settlement memory s, Award memory locking) = voidedLock(START, 0.5 ether);
        vm.warp(locking.promiseAt);
        vm.expectPartialRevert(IEscrow.LockStillHolds.selector);
        escrow.settleVoided(s, locking);
    }

    function testFuzz_settleVoided_WhenCheaper(uint256 price) external {
        requireVoidedSettles(price % 0.5 ether);
    }

    function test_settleVoided_WhenAsDear() external {
        requireVoidedSettles(0.5 ether);
    }

    function testFuzz_settleVoided_WhenDearer(uint256 price) external {
        requireVoidedSettles(0.5 ether + 1 + price % 0.5 ether);
    }

    function testFuzz_settleVoided_WhenDearerThanTheClientCanPay(uint256 more) external {
        more = 1 + more % 0.5 ether;
        vm.prank(client);
        escrow.requestWithdraw(10 ether);
        vm.warp(START + DELAY);
        (Settlement memory s, Award memory locking) = voidedLock(START + DELAY, 0.5 ether + more);
        vm.prank(client);
        escrow.withdraw(payable(settler));
        fund(client, more - 1);
        vm.warp(locking.promiseAt + 1);
        uint256 owed = escrow.total();
        vm.expectPartialRevert(IEscrow.InsufficientBalance.selector);
        escrow.settleVoided(s, locking);
        require(escrow.total() == owed && escrow.balanceOf(client) == more - 1);
        (Status status,) = escrow.stateOf(s.award.orderHash);
        require(status == Status.Locked);
        fund(client, 1);
        escrow.settleVoided(s, locking);
        require(escrow.balanceOf(client) == 0);
    }

    function test_settleVoided_WhenAboveTheCap() external {
        (Settlement memory s, Award memory locking) = voidedLock(START, 1 ether + 1);
        vm.warp(locking.promiseAt + 1);
        vm.expectPartialRevert(IEscrow.PriceAboveCap.selector);
        escrow.settleVoided(s, locking);
    }

    function test_lock_AtItsDeadlines() external {
        Order memory order = newOrder(6);
        Award memory award = newAward(order, prover, 1);
        award.lockBy = uint64(START + 5);
        bytes memory signature = sign(award);
        vm.warp(START + 6);
        vm.prank(prover);
        vm.expectPartialRevert(IEscrow.LockTooLate.selector);
        escrow.lock(order, award, signature);
        vm.warp(START + 5);
        vm.prank(prover);
        escrow.lock(order, award, signature);
        (Status status,) = escrow.stateOf(award.orderHash);
        require(status == Status.Locked);
    }

    function testFuzz_expire_OnlyAfterFinal(uint256 instant) external {
        Order memory order = newOrder(7);
        Award memory award = newAward(order, prover, 0.5 ether);
        lockIt(order, award);
        instant = START + instant % 400;
        vm.warp(instant);
        if (instant <= order.finalBy) vm.expectPartialRevert(IEscrow.NotYetExpired.selector);
        escrow.expire(order, award);
        if (instant > order.finalBy) require(escrow.balanceOf(client) == 10 ether);
    }

    function test_settle_WhenTheClientIsAContract() external {
        Wallet wallet = new Wallet();
        fund(address(wallet), 1 ether);
        Order memory order = newOrder(8);
        order.client = address(wallet);
        Award memory award = newAward(order, prover, 1);
        Settlement memory s = settlement(order, award);
        vm.expectPartialRevert(IEscrow.BadSignature.selector);
        escrow.settle(s);
        wallet.approve(escrow.awardDigest(award));
        escrow.settle(s);
        require(escrow.balanceOf(address(wallet)) == 1 ether - 1 - 1001);
    }

    /// An order locked by `prover` for 0.5 ether and ten seconds, and the settlement of it by `rival`.
    function voidedLock(uint256 now_, uint256 price) private returns (Settlement memory s, Award memory locking) {
        Order memory order = newOrder(5);
        (order.promiseBy, order.finalBy) = (uint64(now_ + 100), uint64(now_ + 200));
        locking = newAward(order, prover, 0.5 ether);
        locking.promiseAt = uint64(now_ + 10);
        lockIt(order, locking);
        s = settlement(order, newAward(order, rival, price));
    }

    /// The client pays the new price, whatever the lock held; the rival earns it, the bounty and the fee.
    function requireVoidedSettles(uint256 price) private {
        (Settlement memory s, Award memory locking) = voidedLock(START, price);
        vm.warp(locking.promiseAt + 1);
        escrow.settleVoided(s, locking);
        uint256 royalty = price * 250 / 10_000;
        require(escrow.balanceOf(client) == 10 ether - price - 1001, "client");
        require(escrow.balanceOf(rival) == 10 ether + price - royalty + 1000 + 1001, "rival");
        require(escrow.balanceOf(publisher) == royalty, "publisher");
        require(escrow.balanceOf(prover) == 10 ether - 4003, "prover");
        require(escrow.balanceOf(escrow.BURNED()) == 3003, "burned");
        require(escrow.total() == 30 ether, "total");
    }
}

/// A wallet that signs what it was told to (ERC-1271).
contract Wallet {
    mapping(bytes32 => bool) private _approved;

    function approve(bytes32 digest) external {
        _approved[digest] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return _approved[digest] ? bytes4(0x1626ba7e) : bytes4(0);
    }
}

contract Reentrant {
    IEscrow private immutable _escrow;

    constructor(IEscrow escrow) {
        _escrow = escrow;
    }

    function request() external {
        _escrow.requestWithdraw(1 ether);
    }

    function withdraw() external {
        _escrow.withdraw(payable(address(this)));
    }

    receive() external payable {
        _escrow.withdraw(payable(address(this)));
    }
}

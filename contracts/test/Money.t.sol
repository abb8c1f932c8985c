// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IEscrow} from "../src/IEscrow.sol";
import {TokenDesk} from "../src/TokenDesk.sol";
import {Award, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";
import {OddToken, SignedToken} from "./Tokens.sol";

/// Tokens in and out, and jobs that are paid in them.
contract TokenTest is Market {
    function setUp() external {
        openMarket();
    }

    function testFuzz_depositToken_CreditsWhatArrived(uint128 amount, uint16 feeBps) external {
        OddToken token = new OddToken(feeBps % 10_001);
        uint256 arrived = bring(token, client, amount);
        require(arrived == uint256(amount) - uint256(amount) * (feeBps % 10_001) / 10_000);
        require(escrow.tokenBalanceOf(address(token), client) == arrived);
        require(escrow.totalOf(address(token)) == arrived && token.balanceOf(address(escrow)) == arrived);
        require(escrow.total() == 30 ether && escrow.balanceOf(client) == 10 ether);
    }

    function test_depositToken_WhenItIs2To128() external {
        OddToken token = new OddToken(0);
        token.mint(address(this), 1 << 128);
        token.approve(address(escrow), 1 << 128);
        vm.expectPartialRevert(IEscrow.AmountTooLarge.selector);
        escrow.depositToken(address(token), client, 1 << 128);
    }

    function test_depositToken_WhenItIsEther() external {
        vm.expectPartialRevert(IEscrow.ZeroAddress.selector);
        escrow.depositToken(address(0), client, 1);
        vm.expectPartialRevert(IEscrow.ZeroAddress.selector);
        escrow.depositToken(address(1), address(0), 1);
        vm.expectPartialRevert(IEscrow.ZeroAddress.selector);
        escrow.withdrawToken(address(0), client);
    }

    /// A token that calls back cannot count one transfer twice.
    function test_depositToken_WhenTheTokenEntersAgain() external {
        OddToken token = new OddToken(0);
        token.onTransfer(address(escrow), abi.encodeCall(escrow.depositToken, (address(token), rival, 0)));
        bring(token, client, 100);
        require(!token.hookSucceeded() && escrow.totalOf(address(token)) == 100);
    }

    function testFuzz_withdrawToken_PaysAfterTheDelay(uint128 amount) external {
        OddToken token = new OddToken(0);
        bring(token, client, amount);
        vm.prank(client);
        escrow.requestWithdrawToken(address(token), amount);
        (uint128 pending, uint64 availableAt) = escrow.pendingTokenWithdrawalOf(address(token), client);
        require(pending == amount && (amount == 0 || availableAt == START + DELAY));
        vm.warp(START + DELAY);
        vm.prank(client);
        if (amount == 0) vm.expectPartialRevert(IEscrow.NoWithdrawalRequested.selector);
        escrow.withdrawToken(address(token), settler);
        require(token.balanceOf(settler) == amount && escrow.totalOf(address(token)) == 0);
    }

    function test_depositWithPermit_AlsoWhenSomebodyUsedThePermitFirst() external {
        SignedToken token = new SignedToken();
        TokenDesk desk = new TokenDesk(escrow);
        token.mint(client, 100);
        vm.prank(rival);
        token.permit(client, address(desk), 100, 0, 0, 0, 0);
        vm.prank(client);
        desk.depositWithPermit(address(token), 100, 0, 0, 0, 0);
        require(escrow.tokenBalanceOf(address(token), client) == 100);
        require(token.balanceOf(address(desk)) == 0 && token.allowance(address(desk), address(escrow)) == 0);
    }

    function test_depositWithAuthorization_CreditsWhoSigned() external {
        SignedToken token = new SignedToken();
        TokenDesk desk = new TokenDesk(escrow);
        token.mint(client, 100);
        vm.prank(rival);
        desk.depositWithAuthorization(address(token), client, 60, 0, 0, 0, 0, 0, 0);
        require(escrow.tokenBalanceOf(address(token), client) == 60);
        require(escrow.tokenBalanceOf(address(token), rival) == 0);
    }

    /// Price, fee and royalty in one token, collateral in another; nothing of it in ETH.
    function testFuzz_settle_InTokens(uint256 price, bool late) external {
        price %= 1 ether;
        OddToken pay = new OddToken(0);
        OddToken bond = new OddToken(0);
        bring(pay, client, 2 ether);
        bring(bond, prover, 5_000);
        Order memory order = newOrder(1);
        (order.token, order.collateralToken) = (address(pay), address(bond));
        Award memory award = newAward(order, prover, price);
        lockIt(order, award);
        require(escrow.tokenBalanceOf(address(bond), prover) == 5_000 - 4_003);
        Settlement memory s = settlement(order, award);
        if (late) vm.warp(award.promiseAt + 1);
        vm.prank(settler);
        escrow.settle(s);
        uint256 royalty = price * 250 / 10_000;
        require(escrow.tokenBalanceOf(address(pay), client) == 2 ether - price - 1001, "client");
        require(escrow.tokenBalanceOf(address(pay), prover) == price - royalty, "price");
        require(escrow.tokenBalanceOf(address(pay), publisher) == royalty, "royalty");
        require(escrow.tokenBalanceOf(address(pay), settler) == 1001, "fee");
        require(escrow.tokenBalanceOf(address(bond), prover) == 5_000 - (late ? 3_003 : 0), "bond");
        require(escrow.tokenBalanceOf(address(bond), escrow.BURNED()) == (late ? 3_003 : 0), "burned");
        require(escrow.balanceOf(prover) == 10 ether && escrow.balanceOf(client) == 10 ether, "no ETH");
    }

    function bring(OddToken token, address account, uint256 amount) private returns (uint256) {
        token.mint(address(this), amount);
        token.approve(address(escrow), amount);
        return escrow.depositToken(address(token), account, amount);
    }
}

/// Locks that are given up, and orders that name no prover.
contract OpenOrderTest is Market {
    function setUp() external {
        openMarket();
    }

    function testFuzz_release_CostsAnEighthAndOpensTheOrder(uint256 wait) external {
        Order memory order = newOrder(1);
        Award memory award = newAward(order, prover, 0.5 ether);
        lockIt(order, award);
        vm.expectPartialRevert(IEscrow.NotProver.selector);
        escrow.release(order, award);
        wait %= 150;
        vm.warp(START + wait);
        vm.prank(prover);
        if (wait > 100) vm.expectPartialRevert(IEscrow.PromiseMissed.selector);
        escrow.release(order, award);
        if (wait > 100) return;
        require(escrow.balanceOf(client) == 10 ether && escrow.balanceOf(prover) == 10 ether - 500);
        require(escrow.balanceOf(escrow.BURNED()) == 500 && escrow.total() == 30 ether);
        Award memory next = newAward(order, rival, 0.4 ether);
        next.promiseAt = order.promiseBy;
        escrow.settle(settlement(order, next));
        require(escrow.balanceOf(rival) > 10.3 ether);
    }

    function testFuzz_openOrder_PaysWhatItsRampHasReached(uint256 wait, uint256 asked) external {
        Order memory order = ramp(2);
        wait %= 80;
        asked %= 1 ether;
        vm.warp(START + wait);
        (Settlement memory s, bytes memory refusal) = (openSettlement(order, asked), bytes(""));
        uint256 price = wait < 10 ? 0 : wait >= 60 ? 1 ether : 0.5 ether + 0.5 ether * (wait - 10) / 50;
        if (wait < 10) refusal = abi.encodePacked(IEscrow.RampNotStarted.selector);
        else if (asked > price) refusal = abi.encodePacked(IEscrow.PriceNotReached.selector);
        if (refusal.length != 0) vm.expectPartialRevert(bytes4(refusal));
        escrow.settle(s);
        if (refusal.length != 0) return;
        require(escrow.balanceOf(client) == 10 ether - price - 1001, "client");
        require(escrow.balanceOf(prover) == 10 ether + price - price * 250 / 10_000 + 1001, "prover");
    }

    /// Nobody signed the award of an open order: what a copyist changes in it changes nothing.
    function test_openOrder_WhenACopyistChangesTheAward() external {
        Order memory order = ramp(3);
        vm.warp(START + 60);
        Settlement memory s = openSettlement(order, 1 ether);
        s.award.price = 0;
        uint256 snapshot = vm.snapshotState();
        vm.prank(rival);
        escrow.settle(s);
        require(escrow.balanceOf(prover) > 10.9 ether, "full price");
        vm.revertToState(snapshot);
        (s.award.prover, s.award.payout) = (rival, rival);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.settle, (s)));
        require(!done, "the proof is bound to the payout");
        s.award.payout = prover;
        vm.expectPartialRevert(IEscrow.ProverNotPayout.selector);
        escrow.settle(s);
    }

    function test_openOrder_TheFirstLockTakesItAtItsPrice() external {
        Order memory order = ramp(4);
        Award memory award = newAward(order, prover, 0.75 ether);
        (award.promiseAt, award.lockBy) = (order.promiseBy, order.promiseBy);
        bytes memory signature = signOrder(order);
        vm.warp(START + 34);
        vm.prank(prover);
        vm.expectPartialRevert(IEscrow.PriceNotReached.selector);
        escrow.lock(order, award, signature);
        vm.warp(START + 35);
        vm.prank(prover);
        escrow.lock(order, award, signature);
        vm.warp(START + 60);
        Settlement memory s = openSettlement(order, 0.75 ether);
        s.award = award;
        s.proof = settlement(order, award).proof;
        escrow.settle(s);
        require(escrow.balanceOf(client) == 10 ether - 0.75 ether - 1001);
    }

    function test_openOrder_OfASignedAwardOrAnotherOrderIsRefused() external {
        Order memory order = ramp(5);
        vm.warp(START + 60);
        Settlement memory s = openSettlement(order, 0);
        s.signature = sign(s.award);
        vm.expectPartialRevert(IEscrow.BadSignature.selector);
        escrow.settle(s);
        s.signature = signOrder(ramp(6));
        vm.expectPartialRevert(IEscrow.BadSignature.selector);
        escrow.settle(s);
        (order.priceFloor, order.priceCap) = (2, 1);
        s = openSettlement(order, 0);
        vm.expectPartialRevert(IEscrow.RampMalformed.selector);
        escrow.settle(s);
    }

    function test_submit_AContractsOrderNeedsNoSignature() external {
        Order memory order = ramp(7);
        (order.client, order.inputHash) = (address(this), keccak256("input"));
        fund(address(this), 2 ether);
        Settlement memory s = openSettlement(order, 0);
        s.signature = "";
        vm.warp(START + 60);
        vm.expectPartialRevert(IEscrow.BadSignature.selector);
        escrow.settle(s);
        vm.prank(rival);
        vm.expectPartialRevert(IEscrow.NotClient.selector);
        escrow.submit(order);
        Order memory private_ = ramp(7);
        private_.client = address(this);
        vm.expectPartialRevert(IEscrow.InputNotPublic.selector);
        escrow.submit(private_);
        private_.kind = 0;
        vm.expectPartialRevert(IEscrow.NotOpenOrder.selector);
        escrow.submit(private_);
        escrow.submit(order);
        // Still so after a lock that was given up.
        Award memory award = newAward(order, rival, 1);
        vm.prank(rival);
        escrow.lock(order, award, "");
        vm.prank(rival);
        escrow.release(order, award);
        escrow.settle(s);
        require(escrow.balanceOf(address(this)) == 1 ether - 1001);
        vm.expectPartialRevert(IEscrow.AlreadySettled.selector);
        escrow.submit(order);
    }

    function ramp(uint256 salt) private view returns (Order memory order) {
        order = newOrder(salt);
        (order.kind, order.priceFloor) = (1, 0.5 ether);
        (order.rampStart, order.rampEnd) = (uint64(START + 10), uint64(START + 60));
        (order.promiseBy, order.finalBy) = (uint64(START + 100), uint64(START + 200));
    }

    function openSettlement(Order memory order, uint256 asked) private returns (Settlement memory s) {
        Award memory award = newAward(order, prover, asked);
        award.promiseAt = order.promiseBy;
        s = settlement(order, award);
        s.signature = signOrder(order);
    }

    function signOrder(Order memory order) private returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CLIENT_KEY, escrow.orderDigest(order));
        return abi.encodePacked(r, s, v);
    }
}

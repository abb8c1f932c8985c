// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Award, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";

/// Random calls; what is refused is swallowed, so that sequences go deep.
contract Handler is Market {
    Order[] private _orders;
    Award[2][] private _awards;
    uint256 public locks;
    uint256 public settlements;
    mapping(bytes32 orderHash => uint256) public finished;
    bool public finishedTwice;

    constructor() {
        openMarket();
    }

    function place(uint256 price, uint256 rivalPrice) external {
        Order memory order = newOrder(_orders.length);
        _orders.push(order);
        _awards.push();
        Award[2] storage pair = _awards[_awards.length - 1];
        pair[0] = newAward(order, prover, price % 1 ether);
        pair[0].promiseAt = uint64(block.timestamp + 50);
        pair[1] = newAward(order, rival, rivalPrice % 1 ether);
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + time % 60);
    }

    function deposit(uint256 amount) external {
        fund(client, amount % 1 ether);
    }

    function withdraw(uint256 amount, bool ask) external {
        bytes memory data = ask
            ? abi.encodeCall(escrow.requestWithdraw, (amount % 1 ether))
            : abi.encodeCall(escrow.withdraw, (payable(settler)));
        vm.prank(client);
        _try(data);
    }

    function cancel(uint256 pick) external {
        if (_orders.length == 0) return;
        vm.prank(client);
        _try(abi.encodeCall(escrow.requestCancel, (_orders[pick % _orders.length])));
    }

    function lock(uint256 pick, uint256 which) external {
        if (_orders.length == 0) return;
        Award memory award = _awards[pick % _orders.length][which % 2];
        bytes memory data = abi.encodeCall(escrow.lock, (_orders[pick % _orders.length], award, sign(award)));
        vm.prank(award.prover);
        if (_try(data)) locks++;
    }

    function settle(uint256 pick, uint256 which, bool voided) external {
        if (_orders.length == 0) return;
        pick %= _orders.length;
        Settlement memory s = settlement(_orders[pick], _awards[pick][which % 2]);
        bytes memory data = voided
            ? abi.encodeCall(escrow.settleVoided, (s, _awards[pick][(which + 1) % 2]))
            : abi.encodeCall(escrow.settle, (s));
        if (_try(data)) _finish(s.award.orderHash);
    }

    function settleBatch(uint256 pick, uint256 which, uint8 voided) external {
        if (_orders.length == 0) return;
        uint256 size = 1 + pick % 4;
        Settlement[] memory jobs = new Settlement[](size);
        Award[] memory lockings = new Award[](size);
        for (uint256 i = 0; i < size; i++) {
            uint256 place_ = (pick % _orders.length + i) % _orders.length;
            jobs[i] = settlement(_orders[place_], _awards[place_][(which >> i) % 2]);
            if ((voided >> i) % 2 == 1) lockings[i] = _awards[place_][((which >> i) + 1) % 2];
        }
        (bool done, bytes memory answer) = address(escrow).call(abi.encodeCall(escrow.settleBatch, (pack(jobs, lockings))));
        if (!done) return;
        bytes4[] memory refusals = abi.decode(answer, (bytes4[]));
        for (uint256 i = 0; i < size; i++) {
            if (refusals[i] == 0) _finish(jobs[i].award.orderHash);
        }
    }

    function expire(uint256 pick, uint256 which) external {
        if (_orders.length == 0) return;
        pick %= _orders.length;
        Award memory award = _awards[pick][which % 2];
        if (_try(abi.encodeCall(escrow.expire, (_orders[pick], award)))) _finish(award.orderHash);
    }

    function sumOfBalances() external view returns (uint256 sum) {
        address[6] memory accounts = [client, prover, rival, settler, publisher, escrow.BURNED()];
        for (uint256 i = 0; i < 6; i++) {
            sum += escrow.balanceOf(accounts[i]);
        }
    }

    function inFlight() external view returns (uint256 sum) {
        for (uint256 i = 0; i < _orders.length; i++) {
            (Status status, bytes31 content) = escrow.stateOf(_awards[i][0].orderHash);
            if (status != Status.Locked) continue;
            bool first = bytes31(escrow.awardDigest(_awards[i][0])) == content;
            sum += _awards[i][first ? 0 : 1].price + _orders[i].verifierFee + _orders[i].collateral;
        }
    }

    function total() external view returns (uint256 owed, uint256 held) {
        return (escrow.total(), address(escrow).balance);
    }

    function _finish(bytes32 orderHash) private {
        settlements++;
        finished[orderHash]++;
        if (finished[orderHash] > 1) finishedTwice = true;
    }

    function _try(bytes memory data) private returns (bool done) {
        (done,) = address(escrow).call(data);
    }
}

contract ConservationTest {
    bool public constant IS_TEST = true;
    Handler private _handler;

    function setUp() external {
        _handler = new Handler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    /// The handler can reach every end of an order: without this the invariants could hold for want of events.
    function test_HandlerReachesEveryEnd() external {
        for (uint256 i = 0; i < 4; i++) {
            // A cheaper rival for even orders, a dearer one for odd ones.
            _handler.place(0.4 ether, i % 2 == 0 ? 0.3 ether : 0.5 ether);
        }
        _handler.lock(0, 0);
        _handler.lock(1, 0);
        _handler.lock(2, 0);
        require(_handler.locks() == 3 && _handler.inFlight() > 1 ether, "locked");
        _handler.settle(0, 0, false);
        _handler.settle(3, 1, false);
        require(_handler.settlements() == 2, "settled");
        _handler.wait_(51);
        _handler.settle(1, 1, true);
        require(_handler.settlements() == 3, "voided");
        for (uint256 i = 0; i < 3; i++) {
            _handler.wait_(59);
        }
        _handler.expire(2, 0);
        require(_handler.settlements() == 4 && _handler.inFlight() == 0, "expired");
    }

    function invariant_I1_HoldsWhatItOwes() external view {
        (uint256 owed, uint256 held) = _handler.total();
        require(held == owed, "I1");
    }

    function invariant_I1_OwesBalancesAndLocks() external view {
        (uint256 owed,) = _handler.total();
        require(owed == _handler.sumOfBalances() + _handler.inFlight(), "I1");
    }

    function invariant_I3_I4_FinishesAnOrderOnce() external view {
        require(!_handler.finishedTwice(), "I3 I4");
    }
}

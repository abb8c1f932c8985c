// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Escrow} from "../src/Escrow.sol";
import {Award, Order, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";
import {OddToken, SignedToken} from "./Tokens.sol";

/// What enters the Escrow again whenever it gets the word: as recipient of money, as consumer, as wallet that is
/// asked for a signature, by a token's hook.
contract Intruder {
    Escrow private immutable _escrow;
    bytes private _data;
    /// Whether a call from inside ever came through that changes something.
    bool public cameThrough;

    constructor(Escrow escrow) {
        _escrow = escrow;
    }

    function aim(bytes calldata data) external {
        _data = data;
    }

    receive() external payable {
        _enter();
    }

    fallback() external payable {
        _enter();
    }

    function onProof(bytes32, address, bytes32, bytes32, uint256[] calldata) external {
        _enter();
    }

    /// Signs what its owner says in the signature itself; enters first where it can.
    function isValidSignature(bytes32, bytes calldata signature) external pure returns (bytes4) {
        return signature.length == 1 ? bytes4(0x1626ba7e) : bytes4(0);
    }

    function act(address target, bytes calldata data) external returns (bool done) {
        (done,) = target.call(data);
    }

    function _enter() private {
        (bool done,) = address(_escrow).call(_data);
        cameThrough = cameThrough || (done && _data.length > 4);
    }
}

/// A token that says of anyone, as soon as it was used, that it has more.
contract LyingToken {
    uint256 private _said;

    function balanceOf(address) external view returns (uint256) {
        return _said;
    }

    function transferFrom(address, address, uint256 amount) external returns (bool) {
        _said += amount;
        return true;
    }

    function transfer(address, uint256) external pure returns (bool) {
        return true;
    }
}

/// Random calls by accounts that wish each other ill. What is refused is swallowed; what is done is checked: whose
/// balances may fall by it, and that nothing is paid twice or for nothing.
contract HostileHandler is Market {
    uint256 private constant WITH_CONSUMER = 4;
    address internal constant ETHER = address(0);

    struct Job {
        Order order;
        Award[2] awards;
        uint8 end; // 1 paid, 2 expired
    }

    Job[] private _jobs;
    address[3] public tokens; // ETH, an ordinary one, one that takes a fee and calls back
    Intruder public intruder;
    LyingToken public lying;
    address[] public accounts;
    mapping(address account => uint256) private _keys;
    mapping(bytes32 what => uint256) public done;

    bool public paidTwice; // I3
    bool public paidForNothing; // I2
    bool public endedTwice; // I4
    bool public tookFromAnother; // I5

    constructor() {
        openMarket();
        intruder = new Intruder(escrow);
        lying = new LyingToken();
        OddToken odd = new OddToken(100);
        tokens = [ETHER, address(new SignedToken()), address(odd)];
        accounts = [client, vm.addr(0xA11CE), prover, rival, address(intruder), settler, publisher, escrow.BURNED()];
        (_keys[client], _keys[accounts[1]]) = (CLIENT_KEY, 0xA11CE);
        intruder.aim(abi.encodeCall(escrow.withdraw, (payable(address(intruder)))));
        odd.onTransfer(address(intruder), abi.encodeCall(escrow.withdrawToken, (address(odd), address(this))));
        for (uint256 i = 0; i < 5; i++) {
            fund(accounts[i], 10 ether);
            for (uint256 t = 1; t < 3; t++) {
                SignedToken(tokens[t]).mint(address(this), 10 ether);
                (bool approved,) = tokens[t].call(abi.encodeCall(SignedToken.approve, (address(escrow), 10 ether)));
                require(approved);
                escrow.depositToken(tokens[t], accounts[i], 10 ether);
            }
        }
    }

    // --- what is tried ---------------------------------------------------------------------------

    function place(uint256 who, uint256 token, uint256 kind, uint256 price) external {
        Order memory order = newOrder(_jobs.length);
        order.client = accounts[who % 3 == 2 ? 4 : who % 3];
        order.token = tokens[token % 3];
        order.collateralToken = tokens[(token >> 8) % 3];
        order.kind = uint8(kind % 2);
        order.inputHash = bytes32(uint256(1));
        order.priceFloor = price % 0.1 ether;
        order.rampStart = uint64(block.timestamp);
        order.rampEnd = uint64(block.timestamp + 50);
        if ((kind >> 8) % WITH_CONSUMER == 0) order.consumer = address(intruder);
        Job storage job = _jobs.push();
        job.order = order;
        job.awards[0] = newAward(order, prover, price % 1 ether);
        job.awards[0].promiseAt = uint64(block.timestamp + 50);
        job.awards[1] = newAward(order, (kind >> 16) % 2 == 0 ? rival : address(intruder), (price >> 128) % 1 ether);
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + time % 60);
    }

    function lock(uint256 pick, uint256 which, uint256 sender, bool forged) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        Award memory award = job.awards[which % 2];
        address by = sender % 8 == 0 ? accounts[(sender >> 8) % 5] : award.prover;
        bytes memory data = abi.encodeCall(escrow.lock, (job.order, award, _signature(job.order, award, forged)));
        if (_as(by, data, job.order.client, by, "lock") && forged && !_isSubmitted(award)) paidForNothing = true;
    }

    function release(uint256 pick, uint256 which, uint256 sender) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        Award memory award = job.awards[which % 2];
        address by = sender % 4 == 0 ? accounts[(sender >> 8) % 5] : award.prover;
        _as(by, abi.encodeCall(escrow.release, (job.order, award)), ETHER, ETHER, "release");
    }

    function submit(uint256 pick) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        _as(job.order.client, abi.encodeCall(escrow.submit, (job.order)), ETHER, ETHER, "submit");
    }

    function cancel(uint256 pick, uint256 sender) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        address by = sender % 4 == 0 ? accounts[(sender >> 8) % 5] : job.order.client;
        _as(by, abi.encodeCall(escrow.requestCancel, (job.order)), ETHER, ETHER, "cancel");
    }

    function settle(uint256 pick, uint256 which, uint256 sender, uint8 forged, bool voided) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        Award memory award = job.awards[which % 2];
        Settlement memory s = _settlement(job.order, award, forged);
        bytes memory data = voided
            ? abi.encodeCall(escrow.settleVoided, (s, job.awards[(which + 1) % 2]))
            : abi.encodeCall(escrow.settle, (s));
        if (!_as(accounts[sender % 5], data, job.order.client, ETHER, voided ? bytes32("voided") : bytes32("settle"))) {
            return;
        }
        // A forged signature may pass where a lock or a submission stands for it; a forged proof never.
        if (forged % 4 == 1) paidForNothing = true;
        _end(job, 1);
    }

    function settleBatch(uint256 pick, uint256 which, uint8 forged) external {
        if (_jobs.length == 0) return;
        uint256 size = 1 + pick % 3;
        pick %= _jobs.length;
        Settlement[] memory jobs = new Settlement[](size);
        for (uint256 i = 0; i < size; i++) {
            Job storage job = _jobs[(pick + i) % _jobs.length];
            jobs[i] = _settlement(job.order, job.awards[(which >> i) % 2], i == 0 ? forged : 0);
        }
        uint256[] memory before = _balances();
        (bool good, bytes memory answer) = address(escrow).call(abi.encodeCall(escrow.settleBatch, (pack(jobs))));
        if (!good) return;
        done["batch"]++;
        bytes4[] memory refusals = abi.decode(answer, (bytes4[]));
        for (uint256 i = 0; i < size; i++) {
            if (refusals[i] != 0) continue;
            if (i == 0 && forged % 4 == 1) paidForNothing = true;
            _end(_jobs[(pick + i) % _jobs.length], 1);
        }
        // Of those that signed orders here: clients alone may have less.
        _compare(before, accounts[0], accounts[1], accounts[4]);
    }

    function expire(uint256 pick, uint256 which) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        bytes memory data = abi.encodeCall(escrow.expire, (job.order, job.awards[which % 2]));
        if (_as(rival, data, ETHER, ETHER, "expire")) _end(job, 2);
    }

    function withdraw(uint256 who, uint256 token, uint256 amount, bool ask) external {
        address by = accounts[who % 5];
        address of_ = tokens[token % 3];
        bytes memory data;
        if (ask) {
            data = of_ == ETHER
                ? abi.encodeCall(escrow.requestWithdraw, (amount % 1 ether))
                : abi.encodeCall(escrow.requestWithdrawToken, (of_, amount % 1 ether));
        } else {
            data = of_ == ETHER
                ? abi.encodeCall(escrow.withdraw, (payable(accounts[(who >> 8) % 5])))
                : abi.encodeCall(escrow.withdrawToken, (of_, accounts[(who >> 8) % 5]));
        }
        _as(by, data, ask ? ETHER : by, ETHER, ask ? bytes32("ask") : bytes32("withdraw"));
    }

    /// A token that lies gives whoever uses it a balance of that token, and nothing else.
    function lie(uint256 amount) external {
        uint256[] memory before = _balances();
        escrow.depositToken(address(lying), rival, amount % 1 ether);
        _compare(before, ETHER, ETHER, ETHER);
        done["lie"]++;
    }

    function donate(uint256 amount) external {
        vm.deal(address(escrow), address(escrow).balance + amount % 1 ether);
        SignedToken(tokens[1]).mint(address(escrow), amount % 1 ether);
    }

    function aim(uint256 pick, uint256 which) external {
        if (_jobs.length == 0) return;
        Job storage job = _jobs[pick % _jobs.length];
        if (which % 3 == 0) intruder.aim(abi.encodeCall(escrow.settle, (_settlement(job.order, job.awards[0], 0))));
        if (which % 3 == 1) intruder.aim(abi.encodeCall(escrow.expire, (job.order, job.awards[0])));
        if (which % 3 == 2) intruder.aim(abi.encodeCall(escrow.withdraw, (payable(address(intruder)))));
    }

    // --- what must hold --------------------------------------------------------------------------

    function owed(uint256 token) external view returns (uint256) {
        return escrow.totalOf(tokens[token]);
    }

    function held(uint256 token) external view returns (uint256) {
        if (token == 0) return address(escrow).balance;
        return SignedToken(tokens[token]).balanceOf(address(escrow));
    }

    function sumOf(uint256 token) external view returns (uint256 sum) {
        for (uint256 i = 0; i < accounts.length; i++) {
            sum += escrow.tokenBalanceOf(tokens[token], accounts[i]);
        }
        for (uint256 i = 0; i < _jobs.length; i++) {
            Order memory order = _jobs[i].order;
            (Status status, bytes31 content) = escrow.stateOf(escrow.orderDigest(order));
            if (status != Status.Locked) continue;
            bool first = bytes31(escrow.awardDigest(_jobs[i].awards[0])) == content;
            if (order.token == tokens[token]) sum += _jobs[i].awards[first ? 0 : 1].price + order.verifierFee;
            if (order.collateralToken == tokens[token]) sum += order.collateral;
        }
    }

    // --- inside ----------------------------------------------------------------------------------

    function _settlement(Order memory order, Award memory award, uint8 forged) private returns (Settlement memory s) {
        s = settlement(order, award);
        s.signature = _signature(order, award, forged % 4 == 2);
        if (forged % 4 == 1) s.settler = rival; // the proof names another one
    }

    function _signature(Order memory order, Award memory award, bool forged) private returns (bytes memory) {
        if (order.client == address(intruder)) return forged ? bytes("") : bytes("1");
        bytes32 digest = order.kind == 1 ? escrow.orderDigest(order) : escrow.awardDigest(award);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(forged ? 0xBAD : _keys[order.client], digest);
        return abi.encodePacked(r, s, v);
    }

    function _isSubmitted(Award memory award) private view returns (bool submitted) {
        (submitted,) = escrow.flagsOf(award.orderHash);
    }

    /// Makes a call in an account's name; if it is done, only these two may have less than before.
    function _as(address by, bytes memory data, address first, address second, bytes32 what)
        private
        returns (bool good)
    {
        uint256[] memory before = _balances();
        vm.prank(by);
        (good,) = address(escrow).call(data);
        if (!good) return false;
        done[what]++;
        // Whoever is paid may be the intruder, which enters again; it may not spend what is not its own.
        _compare(before, first, second, ETHER);
    }

    function _compare(uint256[] memory before, address first, address second, address third) private {
        uint256[] memory after_ = _balances();
        for (uint256 i = 0; i < accounts.length; i++) {
            if (accounts[i] == first || accounts[i] == second || accounts[i] == third) continue;
            for (uint256 t = 0; t < 3; t++) {
                if (after_[3 * i + t] < before[3 * i + t]) tookFromAnother = true;
            }
        }
    }

    function _balances() private view returns (uint256[] memory found) {
        found = new uint256[](3 * accounts.length);
        for (uint256 i = 0; i < accounts.length; i++) {
            for (uint256 t = 0; t < 3; t++) {
                found[3 * i + t] = escrow.tokenBalanceOf(tokens[t], accounts[i]);
            }
        }
    }

    function _end(Job storage job, uint8 how) private {
        if (job.end == 1 && how == 1) paidTwice = true;
        if (job.end != 0 && job.end != how) endedTwice = true;
        job.end = how;
    }
}

/// The invariants of Escrow.sol under attack, by their numbers.
contract HostileTest {
    bool public constant IS_TEST = true;
    HostileHandler private _handler;

    function setUp() external {
        _handler = new HostileHandler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function invariant_I1_HoldsWhatItOwes() external view {
        for (uint256 t = 0; t < 3; t++) {
            require(_handler.held(t) >= _handler.owed(t), "I1: holds less than it owes");
            require(_handler.owed(t) == _handler.sumOf(t), "I1: owes balances and locks, no more and no less");
        }
    }

    function invariant_I2_PaysForNothingWithoutAProof() external view {
        require(!_handler.paidForNothing(), "I2");
    }

    function invariant_I3_PaysAnOrderOnce() external view {
        require(!_handler.paidTwice(), "I3");
    }

    function invariant_I4_EndsAnOrderInOneWay() external view {
        require(!_handler.endedTwice(), "I4");
    }

    function invariant_I5_TakesFromNobodyWithoutConsent() external view {
        require(!_handler.tookFromAnother(), "I5");
    }

    function invariant_NobodyEntersAgain() external view {
        require(!_handler.intruder().cameThrough(), "reentrancy");
    }

    /// Every call can come through: without this the invariants could hold for want of events.
    function test_HandlerReachesEveryCall() external {
        for (uint256 i = 0; i < 8; i++) {
            // Odd ones are open orders; the last two have the intruder as consumer and client.
            _handler.place(i < 6 ? i % 2 : 2, i % 3, i % 2 + (i < 6 ? 256 : 0), 1 ether / 4 + (uint256(1 ether / 5) << 128));
        }
        _handler.lock(0, 0, 1, false);
        _handler.lock(2, 0, 1, false);
        _handler.lock(4, 0, 1, false);
        _handler.release(2, 0, 1);
        _handler.settle(0, 0, 2, 0, false);
        _handler.submit(1);
        _handler.wait_(51);
        _handler.settle(4, 1, 2, 0, true);
        _handler.settleBatch(6, 3, 0);
        _handler.lock(2, 1, 1, false);
        _handler.cancel(5, 1);
        _handler.withdraw(4, 0, 0.1 ether, true);
        for (uint256 i = 0; i < 13; i++) {
            _handler.wait_(59);
        }
        _handler.expire(2, 1);
        _handler.withdraw(4 + 5 * 256, 0, 0, false);
        _handler.lie(5);
        bytes32[11] memory calls =
            [bytes32("lock"), "release", "settle", "submit", "voided", "batch", "cancel", "ask", "expire", "withdraw", "lie"];
        for (uint256 i = 0; i < 11; i++) {
            require(_handler.done(calls[i]) > 0, string(abi.encodePacked(calls[i])));
        }
        this.invariant_I1_HoldsWhatItOwes();
        this.invariant_I5_TakesFromNobodyWithoutConsent();
    }
}

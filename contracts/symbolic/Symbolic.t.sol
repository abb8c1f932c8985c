// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Escrow} from "../src/Escrow.sol";
import {IRegistry} from "../src/IRegistry.sol";
import {Signatures} from "../src/Signatures.sol";
import {Award, Job, Order} from "../src/Types.sol";

interface SymbolicVm {
    function assume(bool condition) external pure;
    function deal(address account, uint256 balance) external;
    function prank(address sender) external;
    function warp(uint256 timestamp) external;
}

/// The internals under proof, made callable.
contract OpenEscrow is Escrow(IRegistry(address(0)), true, 600) {
    function priceOf(Order memory order) external view returns (uint256) {
        return _priceOf(order);
    }

    /// The words as they come in call data, copied and not decoded.
    function isClean(uint256[23] calldata words) external pure returns (bool) {
        Job memory job = _newJob();
        Order memory order = job.order;
        assembly ("memory-safe") {
            calldatacopy(order, words, 736)
        }
        return _isClean(order);
    }

    function isCleanAward(uint256[7] calldata words) external pure returns (bool) {
        Job memory job = _newJob();
        Award memory award = job.award;
        assembly ("memory-safe") {
            calldatacopy(award, words, 224)
        }
        return _isClean(award);
    }
}

contract OpenSignatures {
    function isBy(address signer, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return Signatures.isBy(signer, digest, signature);
    }
}

/// Proofs over all inputs (halmos; `make halmos`), where fuzzing only samples them.
contract SymbolicTest {
    bool public constant IS_TEST = true;
    SymbolicVm private constant vm = SymbolicVm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    OpenEscrow private escrow;
    OpenSignatures private signatures;

    function setUp() external {
        escrow = new OpenEscrow();
        signatures = new OpenSignatures();
    }

    // --- arithmetic ------------------------------------------------------------------------------

    /// Before its ramp an open order costs the floor, after it the cap.
    function check_priceOf_AtTheEnds(uint64 now_, uint64 start, uint64 end, uint128 floor, uint128 cap) external {
        vm.assume(floor <= cap && start <= end);
        vm.assume(now_ <= start || now_ >= end);
        Order memory order;
        (order.rampStart, order.rampEnd, order.priceFloor, order.priceCap) = (start, end, floor, cap);
        vm.warp(now_);
        uint256 price = escrow.priceOf(order);
        assert(price == (now_ >= end ? cap : floor));
    }

    /// On its ramp it never leaves floor and cap, and nothing overflows (small numbers: the solver divides).
    function check_priceOf_Between(uint8 passed, uint8 left, uint8 floor, uint8 rise) external {
        vm.assume(left > 0 && passed < 8 && left < 8 && floor < 16 && rise < 16);
        Order memory order;
        (order.rampStart, order.rampEnd) = (1000, 1000 + uint64(passed) + left);
        (order.priceFloor, order.priceCap) = (floor, uint256(floor) + rise);
        vm.warp(1000 + uint256(passed));
        uint256 price = escrow.priceOf(order);
        assert(price >= order.priceFloor && price <= order.priceCap);
    }

    // --- slots -----------------------------------------------------------------------------------

    /// An order is taken if and only if each word holds what its type can.
    function check_isClean_OfAnyOrder(uint256[23] calldata w) external view {
        bool fits = w[0] >> 160 == 0 && w[8] >> 160 == 0 && w[15] >> 160 == 0 && w[19] >> 160 == 0;
        fits = fits && w[3] >> 8 == 0 && w[14] >> 16 == 0;
        fits = fits && w[6] >> 64 == 0 && w[11] >> 64 == 0 && w[12] >> 64 == 0 && w[17] >> 64 == 0 && w[18] >> 64 == 0;
        assert(escrow.isClean(w) == fits);
    }

    function check_isClean_OfAnyAward(uint256[7] calldata w) external view {
        bool fits = w[2] >> 160 == 0 && w[3] >> 160 == 0 && w[5] >> 64 == 0 && w[6] >> 64 == 0;
        assert(escrow.isCleanAward(w) == fits);
    }

    /// A deposit is credited in full, to that account alone, and owed.
    function check_deposit_CreditsThatAccountAlone(address account, address other, uint128 value, uint128 more) external {
        vm.assume(account != address(0) && other != address(0) && account != other);
        vm.deal(address(this), uint256(value) + more);
        escrow.depositFor{value: more}(other);
        escrow.depositFor{value: value}(account);
        assert(escrow.balanceOf(account) == value && escrow.balanceOf(other) == more);
        assert(escrow.total() == uint256(value) + more && address(escrow).balance == escrow.total());
    }

    /// No amount at or above 2^128 gets in.
    function check_deposit_RefusesLargeAmounts(uint256 value) external {
        vm.assume(value >> 128 != 0);
        vm.deal(address(this), value);
        (bool done,) = address(escrow).call{value: value}(abi.encodeCall(escrow.depositFor, (address(1))));
        assert(!done);
    }

    /// Nothing comes out before the delay, nor more than was asked for, nor of another's.
    function check_withdraw_PaysWhatWasAskedFor(uint64 held, uint64 asked, uint64 wait, address other) external {
        vm.assume(other != address(this) && other != address(0) && asked > 0);
        address to = address(0x70);
        vm.deal(address(this), uint256(held) + 5);
        escrow.depositFor{value: held}(address(this));
        escrow.depositFor{value: 5}(other);
        vm.warp(1000);
        (bool done,) = address(escrow).call(abi.encodeCall(escrow.requestWithdraw, (asked)));
        assert(done == (asked <= held));
        vm.warp(1000 + uint256(wait));
        (bool paid,) = address(escrow).call(abi.encodeCall(escrow.withdraw, (payable(to))));
        assert(paid == (done && wait >= 600));
        assert(escrow.balanceOf(address(this)) == uint256(held) - (paid ? asked : 0) && escrow.balanceOf(other) == 5);
        assert(address(escrow).balance == escrow.total());
    }

    /// A lock takes price, fee and collateral; expired it gives the client all of its money back and burns all of the
    /// prover's, released it burns an eighth; what is owed stays the same (I1, I5).
    function check_lock_ThenExpireOrRelease(uint64 price, uint64 fee, uint64 collateral, bool released) external {
        Order memory order;
        (order.client, order.kind, order.inputHash) = (address(this), 1, bytes32(uint256(1)));
        (order.priceFloor, order.priceCap, order.verifierFee, order.collateral) = (price, price, fee, collateral);
        (order.promiseBy, order.finalBy) = (2000, 3000);
        address prover = address(0x9901);
        uint256 held = 2 * uint256(type(uint64).max);
        vm.deal(address(this), 2 * held);
        escrow.depositFor{value: held}(address(this));
        escrow.depositFor{value: held}(prover);
        vm.warp(1000);
        Award memory award = Award(escrow.submit(order), 0, prover, prover, price, 2000, 2000);
        vm.prank(prover);
        escrow.lock(order, award, "");
        assert(escrow.balanceOf(address(this)) == held - price - fee && escrow.balanceOf(prover) == held - collateral);
        if (!released) vm.warp(3001);
        if (released) vm.prank(prover);
        if (released) escrow.release(order, award);
        else escrow.expire(order, award);
        uint256 burned = released ? collateral / 8 : collateral;
        assert(escrow.balanceOf(address(this)) == held && escrow.balanceOf(prover) == held - burned);
        assert(escrow.balanceOf(escrow.BURNED()) == burned && escrow.total() == 2 * held);
    }

    // --- signatures ------------------------------------------------------------------------------

    /// What is taken as an account's signature has the lower s, and the precompile recovers the account from it (which it
    /// does for a v of 27 or 28 only; here it is any function).
    function check_isBy_OnlyTheOneForm(address signer, bytes32 digest, bytes32 r, bytes32 s, uint8 v) external view {
        vm.assume(signer != address(0) && signer.code.length == 0);
        if (!signatures.isBy(signer, digest, abi.encodePacked(r, s, v))) return;
        assert(uint256(s) <= HALF_ORDER);
        assert(ecrecover(digest, v, r, s) == signer);
    }

    function check_isBy_NoOtherLength(address signer, bytes32 digest, bytes32 r, bytes32 s) external view {
        vm.assume(signer != address(0) && signer.code.length == 0);
        assert(!signatures.isBy(signer, digest, abi.encodePacked(r, s)));
        assert(!signatures.isBy(signer, digest, abi.encodePacked(r, s, bytes2(0x1b1b))));
        assert(!signatures.isBy(signer, digest, ""));
    }
}

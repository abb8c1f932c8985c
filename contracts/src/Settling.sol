// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Orders} from "./Orders.sol";
import {Signatures} from "./Signatures.sol";
import {Terms} from "./Terms.sol";
import {Award, How, Job, Order, Status} from "./Types.sol";
import {Vault} from "./Vault.sol";

/// Whether a job can be paid now, and its payment: the same for one job alone and for each of a batch.
abstract contract Settling is Vault, Terms, Orders {
    /// Internal balance of what is burned; nobody has its key.
    address public constant BURNED = 0x000000000000000000000000000000000000dEaD;

    /// Of the collateral: what whoever does another's job earns.
    uint256 private constant BOUNTY_DIVISOR = 4;

    /// What a batch has read from the Registry, and owes to the verifier and to publishers.
    struct Context {
        Cache cache;
        Tally fees;
        Tally royalties;
    }

    function _newContext() internal pure returns (Context memory context) {
        context.cache = _newCache();
    }

    function _writeTallies(Context memory context) internal {
        _write(context.fees);
        _write(context.royalties);
    }

    /// Moves the money of a job whose proof is still to be checked, or says why not and changes nothing.
    function _apply(Job memory job, Context memory context, bytes calldata signature)
        internal
        returns (bytes memory refusal)
    {
        bytes32 orderHash = _digest(job.order);
        job.orderHash = orderHash;
        uint256 entry = _entries[orderHash];
        // First, so that who comes second in a race pays for little.
        refusal = _finished(orderHash, _status(entry));
        if (refusal.length != 0) return refusal;
        if (job.award.orderHash == 0) job.award.orderHash = orderHash;
        job.awardHash = _digest(job.award);
        if (job.voided && job.locking.orderHash == 0) job.locking.orderHash = orderHash;
        refusal = _payRefusal(job, entry, signature);
        if (refusal.length != 0) return refusal;
        refusal = _registryRefusal(context.cache, job);
        if (refusal.length != 0) return refusal;
        refusal = _debitRefusal(job, context);
        if (refusal.length != 0) return refusal;
        _pay(job, context);
    }

    /// Decides out of what the job is paid; refuses one that cannot be paid now.
    function _payRefusal(Job memory job, uint256 entry, bytes calldata signature)
        private
        view
        returns (bytes memory refusal)
    {
        job.price = job.award.price;
        if (_status(entry) == Status.Locked && !job.voided) {
            // What this very award locked has passed the terms when it was locked.
            if (entry & ~FLAGS != _entry(Status.Locked, job.awardHash)) {
                return _refuse(LockedByAnotherAward.selector, uint256(job.orderHash));
            }
            if (block.timestamp <= job.award.promiseAt) {
                job.how = How.Kept;
            } else {
                job.how = How.Late;
                uint64 finalBy = job.order.finalBy;
                if (block.timestamp > finalBy) return _refuse(FinalMissed.selector, finalBy);
            }
            return refusal;
        }
        refusal = _termsRefusal(job.order, job.award, job.orderHash);
        if (refusal.length != 0) return refusal;
        if (job.voided) {
            job.how = How.Voided;
            refusal = _lockedByRefusal(job.orderHash, entry, job.locking);
            if (refusal.length != 0) return refusal;
            uint64 until = job.locking.promiseAt;
            if (block.timestamp <= until) return _refuse(LockStillHolds.selector, until);
        } else {
            job.how = How.Direct;
            refusal = _openRefusal(job.orderHash, entry);
            if (refusal.length != 0) return refusal;
        }
        return _claimRefusal(job, entry, signature);
    }

    /// Whether an award that did not lock may be settled now: in time, and signed by the client. An open
    /// order pays what its ramp has reached, and to the prover alone: nobody signed who that is, but the
    /// proof is bound to the payout.
    function _claimRefusal(Job memory job, uint256 entry, bytes calldata signature)
        private
        view
        returns (bytes memory refusal)
    {
        uint64 promiseAt = job.award.promiseAt;
        uint64 finalBy = job.order.finalBy;
        if (block.timestamp > promiseAt) return _refuse(PromiseMissed.selector, promiseAt);
        if (block.timestamp > finalBy) return _refuse(FinalMissed.selector, finalBy);
        if (!_isSigned(job.order, job.orderHash, job.awardHash, entry, signature)) {
            return _refuse(BadSignature.selector);
        }
        if (job.order.kind != OPEN_ORDER) return refusal;
        if (job.award.prover != job.award.payout) {
            return _refuse(ProverNotPayout.selector, uint160(job.award.prover), uint160(job.award.payout));
        }
        refusal = _rampRefusal(job.order, job.award);
        job.price = _priceOf(job.order);
    }

    /// The client signs an award, which names the order; of an open order, the order itself. What a contract
    /// submitted needs no signature.
    function _isSigned(
        Order memory order,
        bytes32 orderHash,
        bytes32 awardHash,
        uint256 entry,
        bytes calldata signature
    ) internal view returns (bool) {
        if (order.kind != OPEN_ORDER) return Signatures.isBy(order.client, awardHash, signature);
        return entry & SUBMITTED != 0 || Signatures.isBy(order.client, orderHash, signature);
    }

    /// Takes what no lock holds from the client, or refuses. The lock of another award holds its price and the
    /// fee, which is the order's: the two awards differ in price alone.
    function _debitRefusal(Job memory job, Context memory context) private returns (bytes memory refusal) {
        uint256 price = job.price;
        uint256 debited;
        if (job.how == How.Direct) {
            debited = price + job.order.verifierFee;
        } else if (job.how == How.Voided && price > job.locking.price) {
            debited = price - job.locking.price;
        } else {
            return refusal;
        }
        address client = job.order.client;
        if (client == context.fees.account || client == context.royalties.account) _writeTallies(context);
        refusal = _fundsRefusal(job.order.token, client, debited);
        if (refusal.length == 0) _debit(job.order.token, client, debited);
    }

    function _pay(Job memory job, Context memory context) private {
        Order memory order = job.order;
        Award memory award = job.award;
        address token = order.token;
        address payout = award.payout;
        uint256[] memory inputs = job.inputs;
        inputs[0] = uint256(order.inputCommitment);
        inputs[inputs.length - 1] = binding(job.orderHash, payout, job.settler);
        _entries[job.orderHash] = _entry(Status.Settled, _statementHash(order.programId, inputs));

        uint256 price = job.price;
        uint256 royalty = price * order.royaltyBps / 10_000;
        uint256 paid = price - royalty;
        bool toSettler = msg.sender == job.settler;
        if (toSettler) {
            _tally(context.fees, token, job.settler, order.verifierFee);
        } else {
            paid += order.verifierFee;
        }
        if (royalty != 0) _tally(context.royalties, token, job.publisher, royalty);
        _credit(token, payout, paid);
        if (job.how != How.Direct) _payFromLock(job);
        _emitSettled(job, toSettler);
    }

    /// A promise kept: the collateral is returned. A promise missed: a quarter of it to whoever did the job, the
    /// rest to nobody; and the client gets back what a cheaper award leaves of the lock.
    function _payFromLock(Job memory job) private {
        Order memory order = job.order;
        address token = order.collateralToken;
        uint256 collateral = order.collateral;
        if (job.how == How.Kept) {
            _credit(token, job.award.prover, collateral);
            return;
        }
        uint256 bounty = collateral / BOUNTY_DIVISOR;
        uint256 burned = collateral - bounty;
        _credit(token, job.award.payout, bounty);
        _credit(token, BURNED, burned);
        if (job.how == How.Voided && job.price < job.locking.price) {
            uint256 refunded = job.locking.price - job.price;
            _credit(order.token, order.client, refunded);
        }
    }

    /// Each field is written over the padding of the one before; what is written last lies at the right place.
    function _emitSettled(Job memory job, bool toSettler) private {
        Order memory order = job.order;
        Award memory award = job.award;
        uint256 flags = uint256(uint8(job.how)) | (toSettler ? 4 : 0) | _currencyFlags(order);
        bytes32 topic = Settled.selector;
        assembly ("memory-safe") {
            let payment := mload(0x40) // behind what is in use: nothing is kept
            mstore(payment, 32)
            mstore(add(payment, 64), shl(232, or(shl(16, flags), mload(add(order, 448))))) // flags, royalty
            mstore(add(payment, 67), shl(96, mload(add(award, 64)))) // prover
            mstore(add(payment, 87), shl(96, mload(add(award, 96)))) // payout
            mstore(add(payment, 107), shl(96, mload(add(job, 128)))) // settler
            mstore(add(payment, 127), shl(96, mload(add(job, 288)))) // publisher
            mstore(add(payment, 147), shl(128, mload(add(job, 352)))) // price
            mstore(add(payment, 163), shl(128, mload(add(order, 416)))) // verifier fee
            mstore(add(payment, 179), shl(128, mload(add(order, 512)))) // collateral
            let end := add(payment, 195)
            if eq(and(flags, 3), 3) {
                // Voided: the prover and the price of the lock.
                let locking := mload(add(job, 64))
                mstore(end, shl(96, mload(add(locking, 64))))
                mstore(add(end, 20), shl(128, mload(add(locking, 128))))
                end := add(end, 36)
            }
            if and(flags, 8) {
                mstore(end, shl(96, mload(add(order, 256)))) // token
                end := add(end, 20)
            }
            if and(flags, 16) {
                mstore(end, shl(96, mload(add(order, 480)))) // collateral token
                end := add(end, 20)
            }
            let inputs := mload(add(job, 224))
            let outputs := shl(5, sub(mload(inputs), 2))
            mcopy(end, add(inputs, 64), outputs)
            end := add(end, outputs)
            mstore(end, 0)
            let size := sub(end, add(payment, 64))
            mstore(add(payment, 32), size)
            log4(
                payment,
                add(64, and(add(size, 31), not(31))),
                topic,
                mload(add(job, 160)), // order hash
                mload(add(order, 32)), // program
                mload(order) // client
            )
        }
    }

    /// Bit 3 if the token is not ETH, bit 4 if the collateral is of another token than the price.
    function _currencyFlags(Order memory order) internal pure returns (uint256 flags) {
        if (order.token != ETH) flags = 8;
        if (order.collateralToken != order.token) flags |= 16;
    }

    function _statementHash(bytes32 programId, uint256[] memory inputs) internal pure returns (bytes32 hash) {
        // keccak256(abi.encode(programId, inputs)), without a copy that stays in memory.
        assembly ("memory-safe") {
            let at := mload(0x40)
            let size := shl(5, add(mload(inputs), 1))
            mstore(at, programId)
            mstore(add(at, 32), 64)
            mcopy(add(at, 64), inputs, size)
            hash := keccak256(at, add(64, size))
        }
    }
}

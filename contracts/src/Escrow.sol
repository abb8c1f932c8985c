// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Callback} from "./Callback.sol";
import {Groth16Batch} from "./Groth16Batch.sol";
import {IRegistry} from "./IRegistry.sol";
import {Packing} from "./Packing.sol";
import {Settling} from "./Settling.sol";
import {Terms} from "./Terms.sol";
import {Award, Job, Order, Settlement, Status} from "./Types.sol";
import {Vault} from "./Vault.sol";

/// Pays for proofs. No owner, no proxy, no pause: what is deployed is what there is.
///
/// I1  Conservation: the contract holds at least what it owes, which is the sum of all balances and of what
///     locks hold (price, verifier fee and collateral of each).
/// I2  Nobody is credited by a settlement without a valid proof that names payout and settler; or, of another proof
///     system, without a valid proof of the order's input and the lock of an award that names the payout.
/// I3  An order is paid at most once.
/// I4  An order that expired is never settled, and one that was settled never expires.
/// I5  A balance falls only by its owner's signature or call, or by the owner's missed promise.
///
/// A job is settled in this order: is it live? take the money; check the proof; events. A failed check undoes
/// all, so the proof may come last; nothing is called in between but views. Consumers are called after all
/// of that. In a batch a job that is not live is skipped and reported; one bad proof fails the whole batch,
/// because the proofs are checked as one.
contract Escrow is Settling {
    using Packing for Packing.Reader;
    using Groth16Batch for Groth16Batch.Batch;

    uint256 public constant MAX_BATCH = 128;

    /// Of the collateral: what giving up a lock in time costs.
    uint256 private constant RELEASE_DIVISOR = 8;

    constructor(IRegistry registry_, bool allowDev_, uint64 withdrawalDelay_)
        Vault(withdrawalDelay_)
        Terms(registry_, allowDev_)
    {}

    // --- the life of an order --------------------------------------------------------------------

    /// Posts an open order in the name of the caller, a contract that cannot sign; its input is public, and
    /// it is paid from the caller's balance.
    function submit(Order calldata order) external nonReentrant returns (bytes32 orderHash) {
        if (msg.sender != order.client) revert NotClient(order.client);
        if (order.kind != OPEN_ORDER) revert NotOpenOrder();
        if (order.inputHash == 0) revert InputNotPublic();
        orderHash = _readOrder(_newJob(), order);
        uint256 entry = _entries[orderHash];
        _unless(_openRefusal(orderHash, entry));
        _entries[orderHash] = entry | SUBMITTED;
        emit Submitted(orderHash, msg.sender, order);
    }

    /// Announces that the order shall not be served; it takes effect after the delay, so that a proof
    /// already under way is still paid. A lock is not affected, and takes the request's place: if it is given up, ask
    /// again.
    function requestCancel(Order calldata order) external {
        if (msg.sender != order.client) revert NotClient(order.client);
        bytes32 orderHash = _readOrder(_newJob(), order);
        uint256 entry = _entries[orderHash];
        Status status = _status(entry);
        if (status == Status.CancelRequested) revert AlreadyCancelled(orderHash);
        if (status == Status.Locked) revert AlreadyLocked(orderHash);
        _unless(_finished(orderHash, status));
        uint64 effectiveAt = uint64(block.timestamp) + withdrawalDelay;
        _entries[orderHash] = (uint256(effectiveAt) << 8) | (entry & SUBMITTED) | uint8(Status.CancelRequested);
        emit CancelRequested(orderHash, msg.sender, effectiveAt);
    }

    /// Reserves the client's payment and the prover's collateral; only the prover's account can. What the
    /// Registry says of program and royalty is checked when the order is settled: look before you lock.
    function lock(Order calldata order, Award calldata award, bytes calldata signature) external nonReentrantView {
        Job memory job = _newJob();
        _copy(job.order, order);
        _copy(job.award, award);
        _lock(job.order, job.award, signature);
    }

    /// The same; an order and its award as Packing says, then the signature.
    function lockPacked(bytes calldata packed) external nonReentrantView {
        Job memory job = _newJob();
        bytes calldata signature = _readSingle(packed, job.order, job.award);
        job.award.orderHash = _digest(job.order);
        _lock(job.order, job.award, signature);
    }

    /// Gives a lock up before its promise: an eighth of the collateral is burned, and the order is open again
    /// for the next award. Cheaper than missing the promise, so nobody who knows that it will fail waits.
    function release(Order calldata order, Award calldata locking) external nonReentrant {
        if (msg.sender != locking.prover) revert NotProver(locking.prover);
        Job memory job = _newJob();
        bytes32 orderHash = _readOrder(job, order);
        _copy(job.locking, locking);
        uint256 entry = _entries[orderHash];
        _unless(_lockedByRefusal(orderHash, entry, job.locking));
        if (block.timestamp > locking.promiseAt) revert PromiseMissed(locking.promiseAt);
        uint256 refunded = locking.price + order.verifierFee;
        uint256 burned = order.collateral / RELEASE_DIVISOR;
        _entries[orderHash] = entry & SUBMITTED;
        _credit(order.token, order.client, refunded);
        _credit(order.collateralToken, locking.prover, order.collateral - burned);
        _credit(order.collateralToken, BURNED, burned);
        emit Released(
            orderHash,
            order.client,
            locking.prover,
            order.token,
            refunded,
            order.collateralToken,
            order.collateral - burned,
            burned
        );
    }

    /// Pays for a proof: directly from the client's balance, or from the lock of this very award.
    function settle(Settlement calldata s) external nonReentrant {
        _settle(_read(s), s);
    }

    /// Settles by another award an order whose lock missed its promise; `locking` is the award that locked
    /// it. The payment comes out of the lock; what the new award costs less goes back to the client, what
    /// it costs more is taken from the client's balance: the client signed the award, and the order's cap.
    function settleVoided(Settlement calldata s, Award calldata locking) external nonReentrant {
        Job memory job = _read(s);
        job.voided = true;
        _copy(job.locking, locking);
        _settle(job, s);
    }

    /// Pays for a proof of another proof system, which its verifier checks. Such a proof names neither order nor
    /// payout, so anyone can copy it: it is paid out of the lock of its own award and to its payout, or not at all.
    function settleExternal(
        Order calldata order,
        Award calldata award,
        uint256[] calldata outputs,
        bytes calldata proof
    ) external nonReentrant {
        Job memory job = _newJob();
        _copy(job.order, order);
        _copy(job.award, award);
        (job.settler, job.inputs) = (award.payout, _statement(outputs));
        _unless(_lockedByRefusal(_digest(job.order), _entries[_digest(job.order)], job.award));
        Context memory context = _newContext();
        context.cache.proofSystem = EXTERNAL;
        _unless(_apply(job, context, proof[:0]));
        _writeTallies(context);
        _requireProven(job, proof);
        if (job.order.consumer != address(0)) _deliver(_delivery(job));
    }

    /// Settles up to 128 jobs of any programs and clients; Packing says how they are written. For each job
    /// it gives zero, or the error for which the job was skipped. Reverts if a proof is bad.
    function settleBatch(bytes calldata packed) external nonReentrant returns (bytes4[] memory refusals) {
        (Packing.Reader memory reader, uint256 count) = Packing.open(packed);
        if (count > MAX_BATCH) revert BatchTooLarge(count);
        refusals = new bytes4[](count);
        Groth16Batch.Batch memory batch = Groth16Batch.empty(count);
        Context memory context = _newContext();
        Callback.Delivery[] memory deliveries = _noDeliveries(count);
        uint256 waiting = _applyAll(reader, context, batch, refusals, deliveries);
        reader.close();
        if (batch.count == 0) revert NothingLive();
        _writeTallies(context);
        batch.verify();
        for (uint256 i = 0; i < waiting; i++) {
            _deliver(deliveries[i]);
        }
    }

    /// Gives the client its reservation back after the final deadline; the whole collateral is burned.
    function expire(Order calldata order, Award calldata locking) external nonReentrantView {
        Job memory job = _newJob();
        _copy(job.order, order);
        _copy(job.locking, locking);
        _expire(job.order, job.locking);
    }

    /// The same; an order and its locking award as Packing says.
    function expirePacked(bytes calldata packed) external nonReentrantView {
        Job memory job = _newJob();
        _readSingle(packed, job.order, job.locking);
        job.locking.orderHash = _digest(job.order);
        _expire(job.order, job.locking);
    }

    /// Makes the call to the consumer that failed at settlement, with all the gas that the sender gives.
    function claim(Order calldata order, uint256[] calldata inputs) external nonReentrant {
        Job memory job = _newJob();
        bytes32 orderHash = _readOrder(job, order);
        uint256 entry = _entries[orderHash];
        if (_status(entry) != Status.Settled) revert NotSettled(orderHash);
        if (order.consumer == address(0)) revert NoConsumer(orderHash);
        if (entry & DELIVERED != 0) revert AlreadyDelivered(orderHash);
        (job.orderHash, job.inputs) = (orderHash, inputs);
        bytes32 statementHash = _statementHash(order.programId, inputs);
        if (entry & ~FLAGS != _entry(Status.Settled, statementHash)) revert AnotherStatement(statementHash);
        if (!Callback.deliver(_delivery(job), gasleft())) revert CallbackRefused(order.consumer);
        _entries[orderHash] = entry | DELIVERED;
        emit Delivered(orderHash, order.consumer);
    }

    // --- reading ---------------------------------------------------------------------------------

    function _readOrder(Job memory job, Order calldata order) private view returns (bytes32) {
        _copy(job.order, order);
        return _digest(job.order);
    }

    function _read(Settlement calldata s) private pure returns (Job memory job) {
        job = _newJob();
        _copy(job.order, s.order);
        _copy(job.award, s.award);
        job.settler = s.settler;
        job.inputs = _statement(s.outputs);
    }

    /// The outputs, with room for commitment and binding.
    function _statement(uint256[] calldata outputs) private pure returns (uint256[] memory inputs) {
        inputs = new uint256[](outputs.length + 2);
        for (uint256 i = 0; i < outputs.length; i++) {
            inputs[i + 1] = outputs[i];
        }
    }

    /// The order and the award, and the rest of the call data as a signature.
    function _readSingle(bytes calldata packed, Order memory order, Award memory award)
        private
        pure
        returns (bytes calldata rest)
    {
        uint256 from = Packing.single(packed, order, award);
        assembly ("memory-safe") {
            let end := add(packed.offset, packed.length)
            rest.offset := from
            rest.length := mul(lt(from, end), sub(end, from))
        }
    }

    // --- locking ---------------------------------------------------------------------------------

    function _lock(Order memory order, Award memory award, bytes calldata signature) private {
        if (msg.sender != award.prover) revert NotProver(award.prover);
        bytes32 orderHash = _digest(order);
        bytes32 awardHash = _digest(award);
        uint256 entry = _entries[orderHash];
        _unless(_termsRefusal(order, award, orderHash));
        _unless(_openRefusal(orderHash, entry));
        if (order.kind == OPEN_ORDER) _unless(_rampRefusal(order, award));
        if (block.timestamp > award.lockBy) revert LockTooLate(award.lockBy);
        if (block.timestamp >= award.promiseAt) revert PromiseMissed(award.promiseAt);
        if (award.promiseAt > order.finalBy) revert PromiseTooLate(award.promiseAt, order.finalBy);
        if (!_isSigned(order, orderHash, awardHash, entry, signature)) revert BadSignature();

        _take(order.token, order.client, award.price + order.verifierFee);
        _take(order.collateralToken, award.prover, order.collateral);
        _entries[orderHash] = _entry(Status.Locked, awardHash) | (entry & SUBMITTED);
        _emitLocked(order, award, orderHash, awardHash);
    }

    function _take(address token, address account, uint256 amount) private {
        _unless(_fundsRefusal(token, account, amount));
        _debit(token, account, amount);
    }

    function _expire(Order memory order, Award memory locking) private {
        bytes32 orderHash = _digest(order);
        _unless(_lockedByRefusal(orderHash, _entries[orderHash], locking));
        if (block.timestamp <= order.finalBy) revert NotYetExpired(order.finalBy);
        uint256 refunded = locking.price + order.verifierFee;
        _entries[orderHash] = uint8(Status.Expired);
        _credit(order.token, order.client, refunded);
        _credit(order.collateralToken, BURNED, order.collateral);
        emit Expired(
            orderHash,
            order.client,
            locking.prover,
            order.token,
            refunded,
            order.collateralToken,
            order.collateral
        );
    }

    // --- settling --------------------------------------------------------------------------------

    function _settle(Job memory job, Settlement calldata s) private {
        Context memory context = _newContext();
        _unless(_apply(job, context, s.signature));
        _writeTallies(context);
        Groth16Batch.Batch memory batch = Groth16Batch.empty(1);
        batch.add(job.program, job.orderHash, job.inputs, _place(s.proof));
        batch.verify();
        if (job.order.consumer != address(0)) _deliver(_delivery(job));
    }

    /// The verifier gets the statement without its binding, which is the Escrow's own word here.
    function _requireProven(Job memory job, bytes calldata proof) private view {
        uint256[] memory inputs = job.inputs;
        uint256 length = inputs.length;
        assembly ("memory-safe") {
            mstore(inputs, sub(length, 1))
        }
        registry.requireProven(job.order.programId, inputs, proof);
        assembly ("memory-safe") {
            mstore(inputs, length)
        }
    }

    /// Where a proof lies in the call data.
    function _place(uint256[8] calldata proof) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := proof
        }
    }

    /// Pays every job of a batch that is live, and notes the others; says how many consumers are to be called.
    function _applyAll(
        Packing.Reader memory reader,
        Context memory context,
        Groth16Batch.Batch memory batch,
        bytes4[] memory refusals,
        Callback.Delivery[] memory deliveries
    ) private returns (uint256 waiting) {
        Job memory job = _newJob();
        Packing.Parts memory parts;
        for (uint256 i = 0; i < refusals.length; i++) {
            reader.next(job, parts);
            bytes memory refusal = _apply(job, context, _signature(parts));
            if (refusal.length == 0) {
                batch.add(job.program, job.orderHash, job.inputs, parts.proofAt);
                if (job.order.consumer != address(0)) deliveries[waiting++] = _delivery(job);
            } else {
                refusals[i] = bytes4(refusal);
                emit Skipped(job.orderHash, bytes4(refusal));
            }
        }
    }

    function _signature(Packing.Parts memory parts) private pure returns (bytes calldata signature) {
        assembly ("memory-safe") {
            signature.offset := mload(add(parts, 32))
            signature.length := mload(add(parts, 64))
        }
    }

    /// `terms` as IEscrow says; written as in `_emitSettled`.
    function _emitLocked(Order memory order, Award memory award, bytes32 orderHash, bytes32 awardHash) private {
        uint256 flags = _currencyFlags(order);
        bytes32 topic = Locked.selector;
        assembly ("memory-safe") {
            let terms := mload(0x40)
            mstore(terms, 32)
            mstore(add(terms, 64), awardHash)
            mstore(add(terms, 96), mload(add(award, 32))) // bid hash
            mstore(add(terms, 128), shl(248, flags))
            mstore(add(terms, 129), shl(96, mload(add(award, 96)))) // payout
            mstore(add(terms, 149), shl(128, mload(add(award, 128)))) // price
            mstore(add(terms, 165), shl(192, mload(add(award, 160)))) // promiseAt
            mstore(add(terms, 173), shl(192, mload(add(award, 192)))) // lockBy
            mstore(add(terms, 181), shl(128, mload(add(order, 416)))) // verifier fee
            mstore(add(terms, 197), shl(128, mload(add(order, 512)))) // collateral
            let end := add(terms, 213)
            if and(flags, 8) {
                mstore(end, shl(96, mload(add(order, 256)))) // token
                end := add(end, 20)
            }
            if and(flags, 16) {
                mstore(end, shl(96, mload(add(order, 480)))) // collateral token
                end := add(end, 20)
            }
            mstore(end, 0)
            let size := sub(end, add(terms, 64))
            mstore(add(terms, 32), size)
            log4(
                terms,
                add(64, and(add(size, 31), not(31))),
                topic,
                orderHash,
                mload(order), // client
                mload(add(award, 64)) // prover
            )
        }
    }

    // --- consumers -------------------------------------------------------------------------------

    function _delivery(Job memory job) private pure returns (Callback.Delivery memory) {
        Order memory order = job.order;
        return Callback.Delivery(
            job.orderHash, order.client, order.consumer, order.context, order.programId, job.inputs
        );
    }

    /// The payment stands, whatever the consumer does.
    function _deliver(Callback.Delivery memory delivery) private {
        if (Callback.deliver(delivery, Callback.GAS)) {
            _entries[delivery.orderHash] |= DELIVERED;
            emit Delivered(delivery.orderHash, delivery.consumer);
        } else {
            emit CallbackFailed(delivery.orderHash, delivery.consumer);
        }
    }

    /// References only, each set before it is read.
    function _noDeliveries(uint256 capacity) private pure returns (Callback.Delivery[] memory list) {
        assembly ("memory-safe") {
            list := mload(0x40)
            mstore(list, capacity)
            mstore(0x40, add(list, shl(5, add(capacity, 1))))
        }
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Callback} from "./Callback.sol";
import {Groth16Batch} from "./Groth16Batch.sol";
import {IRegistry} from "./IRegistry.sol";
import {Packing} from "./Packing.sol";
import {Signatures} from "./Signatures.sol";
import {Terms} from "./Terms.sol";
import {Award, How, Job, Order, Settlement, Status} from "./Types.sol";
import {Vault} from "./Vault.sol";

/// Pays for proofs. No owner, no proxy, no pause: what is deployed is what there is.
///
/// I1  Conservation: the contract holds at least what it owes, which is the sum of all balances and of what
///     locks hold (price, verifier fee and collateral of each).
/// I2  Nobody is credited by a settlement without a valid proof that names payout and settler.
/// I3  An order is paid at most once.
/// I4  An order that expired is never settled, and one that was settled never expires.
/// I5  A balance falls only by its owner's signature or call, or by the owner's missed promise.
///
/// A job is settled in this order: is it live? take the money; check the proof; events. A failed check undoes
/// all, so the proof may come last; nothing is called in between but views. Consumers are called after all
/// of that. In a batch a job that is not live is skipped and reported; one bad proof fails the whole batch,
/// because the proofs are checked as one.
contract Escrow is Vault, Terms {
    using Packing for Packing.Reader;
    using Groth16Batch for Groth16Batch.Batch;

    /// Internal balance of what is burned; nobody has its key.
    address public constant BURNED = 0x000000000000000000000000000000000000dEaD;
    uint256 public constant MAX_BATCH = 128;

    /// Of the collateral: what whoever does another's job earns, and what giving up a lock in time costs.
    uint256 private constant BOUNTY_DIVISOR = 4;
    uint256 private constant RELEASE_DIVISOR = 8;

    uint8 private constant VOIDED = 1;
    uint256 private constant PROOF_BYTES = 256;

    uint256 private constant SUBMITTED = 0x40;
    uint256 private constant DELIVERED = 0x80;
    uint256 private constant FLAGS = SUBMITTED | DELIVERED;

    /// Per order one word: status in the lowest byte; above it the time of a cancel, or the upper 248 bits
    /// of the locking award's digest or of the settled statement's hash. Two bits of the lowest byte are flags:
    /// the client is a contract and posted the order itself; the consumer took the statement.
    mapping(bytes32 orderHash => uint256) private _entries;

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
        _unless(_openRefusal(orderHash));
        _entries[orderHash] |= SUBMITTED;
        emit Submitted(orderHash, msg.sender, order);
    }

    /// Announces that the order shall not be served; it takes effect after the delay, so that a proof
    /// already under way is still paid. A lock is not affected.
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
    function lock(Order calldata order, Award calldata award, bytes calldata signature) external nonReentrant {
        if (msg.sender != award.prover) revert NotProver(award.prover);
        Job memory job = _newJob();
        bytes32 orderHash = _readOrder(job, order);
        _copy(job.award, award);
        bytes32 awardHash = _digest(job.award);
        _unless(_termsRefusal(job.order, job.award, orderHash));
        _unless(_openRefusal(orderHash));
        if (order.kind == OPEN_ORDER) _unless(_rampRefusal(job.order, job.award));
        if (block.timestamp > award.lockBy) revert LockTooLate(award.lockBy);
        if (block.timestamp >= award.promiseAt) revert PromiseMissed(award.promiseAt);
        if (award.promiseAt > order.finalBy) revert PromiseTooLate(award.promiseAt, order.finalBy);
        uint256 entry = _entries[orderHash];
        if (!_isSigned(job.order, orderHash, awardHash, entry, signature)) revert BadSignature();

        _take(order.token, order.client, award.price + order.verifierFee);
        _take(order.collateralToken, award.prover, order.collateral);
        _entries[orderHash] = _entry(Status.Locked, awardHash) | (entry & SUBMITTED);
        emit Locked(orderHash, order.client, award.prover, _terms(job.order, job.award, awardHash));
    }

    /// Gives a lock up before its promise: an eighth of the collateral is burned, and the order is open again
    /// for the next award. Cheaper than missing the promise, so nobody who knows that it will fail waits.
    function release(Order calldata order, Award calldata locking) external nonReentrant {
        if (msg.sender != locking.prover) revert NotProver(locking.prover);
        Job memory job = _newJob();
        bytes32 orderHash = _readOrder(job, order);
        _copy(job.locking, locking);
        _unless(_lockedByRefusal(orderHash, job.locking));
        if (block.timestamp > locking.promiseAt) revert PromiseMissed(locking.promiseAt);
        uint256 refunded = locking.price + order.verifierFee;
        uint256 burned = order.collateral / RELEASE_DIVISOR;
        _entries[orderHash] &= SUBMITTED;
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

    /// Settles up to 128 jobs of any programs and clients; Packing says how they are written. For each job
    /// it gives zero, or the error for which the job was skipped. Reverts if a proof is bad.
    function settleBatch(bytes calldata packed) external nonReentrant returns (bytes4[] memory refusals) {
        Packing.Reader memory reader = Packing.open(packed);
        uint256 count = reader.number(1);
        if (count > MAX_BATCH) revert BatchTooLarge(count);
        refusals = new bytes4[](count);
        Groth16Batch.Batch memory batch = Groth16Batch.empty(count);
        Cache memory cache = _newCache();
        Job memory job = _newJob();
        Callback.Delivery[] memory deliveries = _noDeliveries(count);
        uint256 waiting = 0;
        for (uint256 i = 0; i < count; i++) {
            (bytes calldata signature, uint256 proofAt) = _readPacked(reader, job);
            bytes memory refusal = _apply(job, cache, signature);
            if (refusal.length == 0) {
                batch.add(job.program, job.orderHash, job.inputs, proofAt);
                if (job.order.consumer != address(0)) deliveries[waiting++] = _delivery(job);
            } else {
                refusals[i] = bytes4(refusal);
                emit Skipped(job.orderHash, bytes4(refusal));
            }
        }
        reader.close();
        if (batch.count == 0) revert NothingLive();
        batch.verify();
        for (uint256 i = 0; i < waiting; i++) {
            _deliver(deliveries[i]);
        }
    }

    /// Gives the client its reservation back after the final deadline; the whole collateral is burned.
    function expire(Order calldata order, Award calldata locking) external nonReentrant {
        Job memory job = _newJob();
        bytes32 orderHash = _readOrder(job, order);
        _copy(job.locking, locking);
        _unless(_lockedByRefusal(orderHash, job.locking));
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

    function stateOf(bytes32 orderHash) external view returns (Status status, bytes31 content) {
        uint256 entry = _entries[orderHash];
        return (_status(entry), bytes31(uint248(entry >> 8)));
    }

    /// Whether the client posted the order on-chain, and whether the consumer took its statement.
    function flagsOf(bytes32 orderHash) external view returns (bool submitted, bool delivered) {
        uint256 entry = _entries[orderHash];
        return (entry & SUBMITTED != 0, entry & DELIVERED != 0);
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
        job.inputs = new uint256[](s.outputs.length + 2);
        for (uint256 i = 0; i < s.outputs.length; i++) {
            job.inputs[i + 1] = s.outputs[i];
        }
    }

    /// job := voided (1 byte); words: order, award and, if voided, locking award, both without the order's
    /// hash, then settler; number of outputs (2 bytes), as many words; length of the signature (2 bytes),
    /// signature; proof (256 bytes).
    function _readPacked(Packing.Reader memory reader, Job memory job)
        private
        pure
        returns (bytes calldata signature, uint256 proofAt)
    {
        job.voided = reader.number(1) == VOIDED;
        uint256[1] memory settler;
        (uint256 order, uint256 award, uint256 locking, uint256 single) = _places(job, settler);
        reader.words(order, ORDER_WORDS);
        reader.words(award + 32, AWARD_WORDS - 1);
        if (job.voided) reader.words(locking + 32, AWARD_WORDS - 1);
        reader.words(single, 1);
        if (settler[0] >> 160 != 0) revert Packing.BatchMalformed();
        job.settler = address(uint160(settler[0]));
        // Zero is the mark that the order's hash is to be filled in.
        (job.award.orderHash, job.locking.orderHash) = (0, 0);
        uint256 outputs = reader.number(2);
        uint256[] memory inputs = new uint256[](outputs + 2);
        job.inputs = inputs;
        assembly ("memory-safe") {
            single := add(inputs, 64)
        }
        reader.words(single, outputs);
        uint256 length = reader.number(2);
        uint256 from = reader.skip(length);
        assembly ("memory-safe") {
            signature.offset := from
            signature.length := length
        }
        proofAt = reader.skip(PROOF_BYTES);
    }

    function _places(Job memory job, uint256[1] memory single)
        private
        pure
        returns (uint256 order, uint256 award, uint256 locking, uint256 word)
    {
        assembly ("memory-safe") {
            order := mload(job)
            award := mload(add(job, 32))
            locking := mload(add(job, 64))
            word := single
        }
    }

    // --- settling --------------------------------------------------------------------------------

    function _settle(Job memory job, Settlement calldata s) private {
        _unless(_apply(job, _newCache(), s.signature));
        Groth16Batch.Batch memory batch = Groth16Batch.empty(1);
        batch.add(job.program, job.orderHash, job.inputs, _place(s.proof));
        batch.verify();
        if (job.order.consumer != address(0)) _deliver(_delivery(job));
    }

    /// Where a proof lies in the call data.
    function _place(uint256[8] calldata proof) private pure returns (uint256 place) {
        assembly ("memory-safe") {
            place := proof
        }
    }

    /// Moves the money of a job whose proof is still to be checked, or says why not and changes nothing.
    function _apply(Job memory job, Cache memory cache, bytes calldata signature)
        private
        returns (bytes memory refusal)
    {
        bytes32 orderHash = _digest(job.order);
        job.orderHash = orderHash;
        uint256 entry = _entries[orderHash];
        // First, so that who comes second in a race pays for little.
        refusal = _finished(orderHash, _status(entry));
        if (refusal.length != 0) return refusal;
        if (job.award.orderHash == 0) job.award.orderHash = orderHash;
        if (job.locking.orderHash == 0) job.locking.orderHash = orderHash;
        job.awardHash = _digest(job.award);
        refusal = _termsRefusal(job.order, job.award, orderHash);
        if (refusal.length != 0) return refusal;
        refusal = _registryRefusal(cache, job);
        if (refusal.length != 0) return refusal;
        refusal = _moneyRefusal(job, entry, signature);
        if (refusal.length != 0) return refusal;
        _pay(job);
    }

    /// Decides out of what the job is paid; refuses one that cannot be paid now.
    function _moneyRefusal(Job memory job, uint256 entry, bytes calldata signature)
        private
        view
        returns (bytes memory refusal)
    {
        Order memory order = job.order;
        job.price = job.award.price;
        (job.debited, job.refunded, job.collateralReturned) = (0, 0, 0);
        (job.bounty, job.burned, job.lockedProver) = (0, 0, address(0));
        if (job.voided) {
            job.how = How.Voided;
            refusal = _lockedByRefusal(job.orderHash, job.locking);
            if (refusal.length != 0) return refusal;
            uint64 until = job.locking.promiseAt;
            if (block.timestamp <= until) return _refuse(LockStillHolds.selector, until);
            refusal = _claimRefusal(job, entry, signature);
            if (refusal.length != 0) return refusal;
            _slash(job, job.locking.prover);
            // The lock holds price and fee; the fee is the order's, so the two awards differ in price alone.
            if (job.price > job.locking.price) {
                job.debited = job.price - job.locking.price;
            } else {
                job.refunded = job.locking.price - job.price;
            }
        } else if (_status(entry) == Status.Locked) {
            if (entry & ~FLAGS != _entry(Status.Locked, job.awardHash)) {
                return _refuse(LockedByAnotherAward.selector, uint256(job.orderHash));
            }
            if (block.timestamp <= job.award.promiseAt) {
                job.how = How.Kept;
                (job.lockedProver, job.collateralReturned) = (job.award.prover, order.collateral);
            } else {
                job.how = How.Late;
                if (block.timestamp > order.finalBy) {
                    return _refuse(FinalMissed.selector, order.finalBy);
                }
                _slash(job, job.award.prover);
            }
        } else {
            job.how = How.Direct;
            refusal = _openRefusal(job.orderHash);
            if (refusal.length != 0) return refusal;
            refusal = _claimRefusal(job, entry, signature);
            if (refusal.length != 0) return refusal;
            job.debited = job.price + order.verifierFee;
        }
        return _fundsRefusal(order.token, order.client, job.debited);
    }

    /// Whether an award that did not lock may be settled now: in time, and signed by the client. An open
    /// order pays what its ramp has reached, and to the prover alone: nobody signed who that is, but the
    /// proof is bound to the payout.
    function _claimRefusal(Job memory job, uint256 entry, bytes calldata signature)
        private
        view
        returns (bytes memory)
    {
        uint64 promiseAt = job.award.promiseAt;
        uint64 finalBy = job.order.finalBy;
        if (block.timestamp > promiseAt) return _refuse(PromiseMissed.selector, promiseAt);
        if (block.timestamp > finalBy) return _refuse(FinalMissed.selector, finalBy);
        if (!_isSigned(job.order, job.orderHash, job.awardHash, entry, signature)) {
            return _refuse(BadSignature.selector);
        }
        if (job.order.kind != OPEN_ORDER) return "";
        if (job.award.prover != job.award.payout) {
            return _refuse(ProverNotPayout.selector, uint160(job.award.prover), uint160(job.award.payout));
        }
        bytes memory refusal = _rampRefusal(job.order, job.award);
        job.price = _priceOf(job.order);
        return refusal;
    }

    /// The client signs an award, which names the order; of an open order, the order itself. What a contract
    /// submitted needs no signature.
    function _isSigned(
        Order memory order,
        bytes32 orderHash,
        bytes32 awardHash,
        uint256 entry,
        bytes calldata signature
    ) private view returns (bool) {
        if (order.kind != OPEN_ORDER) return Signatures.isBy(order.client, awardHash, signature);
        return entry & SUBMITTED != 0 || Signatures.isBy(order.client, orderHash, signature);
    }

    /// A missed promise: a quarter of the collateral to whoever did the job, the rest to nobody.
    function _slash(Job memory job, address prover) private pure {
        job.lockedProver = prover;
        job.bounty = job.order.collateral / BOUNTY_DIVISOR;
        job.burned = job.order.collateral - job.bounty;
    }

    function _pay(Job memory job) private {
        Order memory order = job.order;
        Award memory award = job.award;
        uint256[] memory inputs = job.inputs;
        inputs[0] = uint256(order.inputCommitment);
        inputs[inputs.length - 1] = binding(job.orderHash, award.payout, job.settler);
        bytes32 statementHash = _statementHash(order.programId, inputs);

        uint256 royalty = job.price * order.royaltyBps / 10_000;
        bool toSettler = msg.sender == job.settler;
        _entries[job.orderHash] = _entry(Status.Settled, statementHash);
        _debit(order.token, order.client, job.debited);
        _credit(order.token, order.client, job.refunded);
        _credit(order.token, award.payout, job.price - royalty);
        _credit(order.token, job.publisher, royalty);
        _credit(order.token, toSettler ? job.settler : award.payout, order.verifierFee);
        _credit(order.collateralToken, award.payout, job.bounty);
        _credit(order.collateralToken, job.lockedProver, job.collateralReturned);
        _credit(order.collateralToken, BURNED, job.burned);
        _emitSettled(job, statementHash, toSettler);
    }

    function _emitSettled(Job memory job, bytes32 statementHash, bool toSettler) private {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        Order memory order = job.order;
        Award memory award = job.award;
        uint256 flags = uint256(uint8(job.how)) | (toSettler ? 4 : 0) | (_inEther(order) ? 0 : 8);
        flags = flags << 16 | order.royaltyBps;
        bytes memory payment;
        uint256 end;
        assembly ("memory-safe") {
            // Each field over the padding of the one before; what is written last lies at the right place.
            payment := mload(0x40)
            mstore(add(payment, 32), mload(add(job, 192))) // award hash
            mstore(add(payment, 64), statementHash)
            mstore(add(payment, 96), shl(232, flags))
            mstore(add(payment, 99), shl(96, mload(add(award, 64)))) // prover
            mstore(add(payment, 119), shl(96, mload(add(award, 96)))) // payout
            mstore(add(payment, 139), shl(96, mload(add(job, 128)))) // settler
            mstore(add(payment, 159), shl(96, mload(add(job, 288)))) // publisher
            mstore(add(payment, 179), mload(add(order, 64))) // model
            mstore(add(payment, 211), shl(128, mload(add(job, 352)))) // price
            mstore(add(payment, 227), shl(128, mload(add(order, 416)))) // verifier fee
            mstore(add(payment, 243), shl(128, mload(add(order, 512)))) // collateral
            end := add(payment, 259)
            if eq(mload(add(job, 320)), 3) {
                // Voided: the prover and the price of the lock.
                let locking := mload(add(job, 64))
                mstore(end, shl(96, mload(add(locking, 64))))
                mstore(add(end, 20), shl(128, mload(add(locking, 128))))
                end := add(end, 36)
            }
            if and(flags, 0x80000) {
                mstore(end, shl(96, mload(add(order, 256)))) // token
                mstore(add(end, 20), shl(96, mload(add(order, 480)))) // collateral token
                end := add(end, 40)
            }
            let inputs := mload(add(job, 224))
            let size := shl(5, sub(mload(inputs), 2))
            mcopy(end, add(inputs, 64), size) // outputs
            end := add(end, size)
            mstore(payment, sub(end, add(payment, 32)))
            mstore(0x40, and(add(end, 31), not(31)))
        }
        emit Settled(job.orderHash, order.programId, order.client, payment);
        assembly ("memory-safe") {
            // What the event was put together from is not needed again: memory must not grow with a batch.
            mstore(0x40, free)
        }
    }

    /// The terms of a lock, as its event tells them.
    function _terms(Order memory order, Award memory award, bytes32 awardHash) private pure returns (bytes memory) {
        bytes memory terms = abi.encodePacked(
            awardHash,
            award.bidHash,
            award.payout,
            uint128(award.price),
            award.promiseAt,
            award.lockBy,
            uint128(order.verifierFee),
            uint128(order.collateral)
        );
        return bytes.concat(terms, _currencies(order));
    }

    function _currencies(Order memory order) private pure returns (bytes memory) {
        return _inEther(order) ? bytes("") : abi.encodePacked(order.token, order.collateralToken);
    }

    function _inEther(Order memory order) private pure returns (bool) {
        return order.token == ETH && order.collateralToken == ETH;
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
        if (gasleft() < Callback.needed()) revert CallbackGasMissing(Callback.needed());
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

    // --- the state of an order -------------------------------------------------------------------

    /// Neither locked, finished nor effectively cancelled.
    function _openRefusal(bytes32 orderHash) private view returns (bytes memory) {
        uint256 entry = _entries[orderHash];
        Status status = _status(entry);
        if (status == Status.Locked) return _refuse(AlreadyLocked.selector, uint256(orderHash));
        if (status == Status.CancelRequested && block.timestamp >= entry >> 8) {
            return _refuse(AlreadyCancelled.selector, uint256(orderHash));
        }
        return _finished(orderHash, status);
    }

    function _finished(bytes32 orderHash, Status status) private pure returns (bytes memory) {
        if (status == Status.Settled) return _refuse(AlreadySettled.selector, uint256(orderHash));
        if (status == Status.Expired) return _refuse(AlreadyExpired.selector, uint256(orderHash));
        return "";
    }

    function _lockedByRefusal(bytes32 orderHash, Award memory locking) private view returns (bytes memory) {
        uint256 entry = _entries[orderHash];
        Status status = _status(entry);
        bytes memory finished = _finished(orderHash, status);
        if (finished.length != 0) return finished;
        if (status != Status.Locked) return _refuse(NotLocked.selector, uint256(orderHash));
        if (entry & ~FLAGS == _entry(Status.Locked, _digest(locking))) return "";
        return _refuse(LockedByAnotherAward.selector, uint256(orderHash));
    }

    function _take(address token, address account, uint256 amount) private {
        _unless(_fundsRefusal(token, account, amount));
        _debit(token, account, amount);
    }

    function _statementHash(bytes32 programId, uint256[] memory inputs) private pure returns (bytes32 hash) {
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

    function _status(uint256 entry) private pure returns (Status) {
        return Status(uint8(entry & ~FLAGS));
    }

    function _entry(Status status, bytes32 content) private pure returns (uint256) {
        return (uint256(content) & ~uint256(0xff)) | uint8(status);
    }
}

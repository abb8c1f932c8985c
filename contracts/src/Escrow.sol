// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Groth16} from "./Groth16.sol";
import {IEscrow} from "./IEscrow.sol";
import {IRegistry} from "./IRegistry.sol";
import {Award, Order, Payment, Program, Settlement, Status} from "./Types.sol";

/// Pays for proofs. No owner, no proxy, no pause: what is deployed is what there is.
///
/// INV-1  The contract holds at least `total`.
/// INV-2  `total` = sum of all balances + what locks hold (price, verifier fee and collateral of each).
/// INV-3  An order is settled or expired at most once, and never both.
/// INV-4  Nobody is credited by a settlement without a valid proof that names payout and settler.
contract Escrow is IEscrow, EIP712, ReentrancyGuardTransient {
    /// Internal balance of what is burned; nobody has its key.
    address public constant BURNED = 0x000000000000000000000000000000000000dEaD;

    bytes32 public constant ORDER_TYPEHASH = keccak256(
        "Order(address client,bytes32 programId,bytes32 modelId,uint8 kind,bytes32 inputCommitment,"
        "bytes32 inputHash,uint64 inputSize,bytes32 parametersHash,address token,uint256 priceFloor,"
        "uint256 priceCap,uint64 rampStart,uint64 rampEnd,uint256 verifierFee,uint16 royaltyBps,"
        "address collateralToken,uint256 collateral,uint64 promiseBy,uint64 finalBy,address consumer,"
        "bytes32 context,bytes32 replyKey,bytes32 salt)"
    );
    bytes32 public constant AWARD_TYPEHASH = keccak256(
        "Award(bytes32 orderHash,bytes32 bidHash,address prover,address payout,uint256 price,"
        "uint64 promiseAt,uint64 lockBy)"
    );
    bytes32 public constant BINDING_TAG = keccak256("proofmesh.binding.market.v1");

    struct Withdrawal {
        uint128 amount;
        uint64 availableAt;
    }

    IRegistry public immutable registry;
    bool public immutable allowDev;
    /// Seconds between asking for a withdrawal or a cancel and its effect.
    uint64 public immutable withdrawalDelay;

    mapping(address account => uint256) public balanceOf;
    mapping(address account => Withdrawal) public pendingWithdrawalOf;
    /// Everything that the Escrow owes: balances and locks.
    uint256 public total;
    /// Per order one word: status in the lowest byte; above it the time of a cancel, or the upper 248 bits
    /// of the locking award's digest or of the settled statement's hash.
    mapping(bytes32 orderHash => uint256) private _entries;

    constructor(IRegistry registry_, bool allowDev_, uint64 withdrawalDelay_) EIP712("proofmesh", "1") {
        registry = registry_;
        allowDev = allowDev_;
        withdrawalDelay = withdrawalDelay_;
    }

    // --- balances ------------------------------------------------------------------------------

    function deposit() external payable {
        _deposit(msg.sender);
    }

    function depositFor(address account) external payable {
        _deposit(account);
    }

    /// Announces a withdrawal; it replaces an earlier one, and zero takes it back. Until it is made the
    /// amount stays in the balance and pays for what the account signed.
    function requestWithdraw(uint256 amount) external {
        uint256 balance = balanceOf[msg.sender];
        if (amount > balance) revert InsufficientBalance(msg.sender, balance, amount);
        uint64 availableAt = uint64(block.timestamp) + withdrawalDelay;
        if (amount == 0) {
            delete pendingWithdrawalOf[msg.sender];
        } else {
            pendingWithdrawalOf[msg.sender] = Withdrawal(_amount(amount), availableAt);
        }
        emit WithdrawalRequested(msg.sender, amount, availableAt);
    }

    /// Pays out what was announced, or what is left of it.
    function withdraw(address payable to) external nonReentrant {
        if (to == address(0)) revert ZeroAddress();
        Withdrawal memory pending = pendingWithdrawalOf[msg.sender];
        if (pending.amount == 0) revert NoWithdrawalRequested();
        if (block.timestamp < pending.availableAt) revert WithdrawalNotReady(pending.availableAt);

        uint256 balance = balanceOf[msg.sender];
        uint256 amount = pending.amount < balance ? pending.amount : balance;
        delete pendingWithdrawalOf[msg.sender];
        balanceOf[msg.sender] = balance - amount;
        total -= amount;
        emit Withdrawn(msg.sender, to, amount);

        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed();
    }

    // --- the life of an order --------------------------------------------------------------------

    /// Announces that the order shall not be served; it takes effect after the delay, so that a proof
    /// already under way is still paid. A lock is not affected.
    function requestCancel(Order calldata order) external {
        if (msg.sender != order.client) revert NotClient(order.client);
        bytes32 orderHash = orderDigest(order);
        Status status = _status(_entries[orderHash]);
        if (status == Status.CancelRequested) revert AlreadyCancelled(orderHash);
        if (status == Status.Locked) revert AlreadyLocked(orderHash);
        _requireUnfinished(orderHash, status);
        uint64 effectiveAt = uint64(block.timestamp) + withdrawalDelay;
        _entries[orderHash] = (uint256(effectiveAt) << 8) | uint8(Status.CancelRequested);
        emit CancelRequested(orderHash, msg.sender, effectiveAt);
    }

    /// Reserves the client's payment and the prover's collateral; only the prover's account can.
    function lock(Order calldata order, Award calldata award, bytes calldata signature) external {
        if (msg.sender != award.prover) revert NotProver(award.prover);
        bytes32 orderHash = orderDigest(order);
        bytes32 awardHash = awardDigest(award);
        _requireAward(order, award, orderHash);
        _program(order);
        _publisher(order);
        _requireOpen(orderHash);
        if (block.timestamp > award.lockBy) revert LockTooLate(award.lockBy);
        if (block.timestamp >= award.promiseAt) revert PromiseMissed(award.promiseAt);
        if (award.promiseAt > order.finalBy) revert PromiseTooLate(award.promiseAt, order.finalBy);
        _requireSigned(order.client, awardHash, signature);

        uint256 reserved = award.price + order.verifierFee;
        _debit(order.client, reserved);
        _debit(award.prover, order.collateral);
        _entries[orderHash] = _entry(Status.Locked, awardHash);
        emit Locked(orderHash, order.client, award.prover, awardHash, award, reserved, order.collateral);
    }

    /// Pays for a proof: directly from the client's balance, or from the lock of this very award.
    function settle(Settlement calldata s) external {
        bytes32 orderHash = orderDigest(s.order);
        Payment memory payment = _payment(s, orderHash);
        uint256 entry = _entries[orderHash];
        if (_status(entry) == Status.Locked) {
            if (entry != _entry(Status.Locked, payment.awardHash)) revert LockedByAnotherAward(orderHash);
            payment.lockedProver = s.award.prover;
            if (block.timestamp <= s.award.promiseAt) {
                payment.collateralReturned = s.order.collateral;
            } else {
                _slash(payment, s.order);
            }
        } else {
            _requireOpen(orderHash);
            _requireInTime(s.order, s.award);
            _requireSigned(s.order.client, payment.awardHash, s.signature);
            payment.debited = payment.price + payment.verifierFee;
        }
        _pay(s, orderHash, payment);
    }

    /// Settles by another award an order whose lock missed its promise; `locking` is the award that locked
    /// it. The payment comes out of the lock; what the new award costs less goes back to the client, what
    /// it costs more is taken from the client's balance: the client signed the award, and the order's cap.
    function settleVoided(Settlement calldata s, Award calldata locking) external {
        bytes32 orderHash = orderDigest(s.order);
        Payment memory payment = _payment(s, orderHash);
        _requireLockedBy(orderHash, locking);
        if (block.timestamp <= locking.promiseAt) revert LockStillHolds(locking.promiseAt);
        _requireInTime(s.order, s.award);
        _requireSigned(s.order.client, payment.awardHash, s.signature);

        // The lock holds price and fee; the fee is the order's, so the two awards differ in price alone.
        if (payment.price > locking.price) {
            payment.debited = payment.price - locking.price;
        } else {
            payment.refunded = locking.price - payment.price;
        }
        payment.lockedProver = locking.prover;
        _slash(payment, s.order);
        _pay(s, orderHash, payment);
    }

    /// Gives the client its reservation back after the final deadline; the whole collateral is burned.
    function expire(Order calldata order, Award calldata locking) external {
        bytes32 orderHash = orderDigest(order);
        _requireLockedBy(orderHash, locking);
        if (block.timestamp <= order.finalBy) revert NotYetExpired(order.finalBy);
        uint256 refunded = locking.price + order.verifierFee;
        _entries[orderHash] = uint8(Status.Expired);
        _credit(order.client, refunded);
        _credit(BURNED, order.collateral);
        emit Expired(orderHash, order.client, locking.prover, refunded, order.collateral);
    }

    // --- views -----------------------------------------------------------------------------------

    function stateOf(bytes32 orderHash) external view returns (Status status, bytes31 content) {
        uint256 entry = _entries[orderHash];
        return (_status(entry), bytes31(uint248(entry >> 8)));
    }

    function orderDigest(Order calldata order) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ORDER_TYPEHASH, order)));
    }

    function awardDigest(Award calldata award) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(AWARD_TYPEHASH, award)));
    }

    /// The last public input: a proof made for one order, payout and settler is void for any other.
    function binding(bytes32 orderHash, address payout, address settler) public pure returns (uint256) {
        return uint256(keccak256(abi.encode(BINDING_TAG, orderHash, payout, settler))) >> 8;
    }

    // --- what an order and an award must satisfy -------------------------------------------------

    function _requireAward(Order calldata order, Award calldata award, bytes32 orderHash) private pure {
        if (order.kind != 0) revert UnsupportedKind(order.kind);
        if (order.token != address(0)) revert UnsupportedToken(order.token);
        if (order.collateralToken != address(0)) revert UnsupportedToken(order.collateralToken);
        if (order.consumer != address(0)) revert UnsupportedConsumer(order.consumer);
        _amount(order.priceCap);
        _amount(order.verifierFee);
        _amount(order.collateral);
        // Times are below 2^63 everywhere off-chain; what could not be read there is not taken here.
        if ((order.promiseBy | order.finalBy | award.lockBy) >> 63 != 0) revert TimeTooLarge();
        if (award.orderHash != orderHash) revert AwardForAnotherOrder(award.orderHash);
        if (award.price > order.priceCap) revert PriceAboveCap(award.price, order.priceCap);
        if (award.promiseAt > order.promiseBy) revert PromiseTooLate(award.promiseAt, order.promiseBy);
        if (award.payout == address(0)) revert ZeroAddress();
    }

    function _program(Order calldata order) private view returns (Program memory program) {
        program = registry.programOf(order.programId);
        if (program.proofSystem == 0) revert UnknownProgram(order.programId);
        if (program.dev && !allowDev) revert DevProgramRefused(order.programId);
    }

    /// The one who earns the order's royalty; the order must state what the Registry says.
    function _publisher(Order calldata order) private view returns (address publisher) {
        uint16 registered;
        if (order.modelId != 0) {
            bytes32 programId;
            (programId, publisher, registered) = registry.termsOf(order.modelId);
            if (programId != order.programId) revert ModelOfAnotherProgram(order.modelId);
        }
        if (order.royaltyBps != registered) revert RoyaltyMismatch(order.royaltyBps, registered);
    }

    function _requireSigned(address client, bytes32 awardHash, bytes calldata signature) private view {
        if (!SignatureChecker.isValidSignatureNowCalldata(client, awardHash, signature)) {
            revert BadSignature();
        }
    }

    function _requireInTime(Order calldata order, Award calldata award) private view {
        if (block.timestamp > award.promiseAt) revert PromiseMissed(award.promiseAt);
        if (block.timestamp > order.finalBy) revert FinalMissed(order.finalBy);
    }

    /// Neither locked, finished nor effectively cancelled.
    function _requireOpen(bytes32 orderHash) private view {
        uint256 entry = _entries[orderHash];
        Status status = _status(entry);
        if (status == Status.Locked) revert AlreadyLocked(orderHash);
        if (status == Status.CancelRequested && block.timestamp >= entry >> 8) {
            revert AlreadyCancelled(orderHash);
        }
        _requireUnfinished(orderHash, status);
    }

    function _requireUnfinished(bytes32 orderHash, Status status) private pure {
        if (status == Status.Settled) revert AlreadySettled(orderHash);
        if (status == Status.Expired) revert AlreadyExpired(orderHash);
    }

    function _requireLockedBy(bytes32 orderHash, Award calldata locking) private view {
        uint256 entry = _entries[orderHash];
        Status status = _status(entry);
        _requireUnfinished(orderHash, status);
        if (status != Status.Locked) revert NotLocked(orderHash);
        if (entry != _entry(Status.Locked, awardDigest(locking))) revert LockedByAnotherAward(orderHash);
    }

    // --- payment ---------------------------------------------------------------------------------

    /// Checks the terms and the proof; gives the part of the payment that needs no lock to be known.
    function _payment(Settlement calldata s, bytes32 orderHash) private view returns (Payment memory payment) {
        // First, so that who comes second in a race pays for little.
        _requireUnfinished(orderHash, _status(_entries[orderHash]));
        _requireAward(s.order, s.award, orderHash);
        payment.awardHash = awardDigest(s.award);
        payment.statementHash = _requireProved(s, orderHash);
        payment.prover = s.award.prover;
        payment.payout = s.award.payout;
        payment.settler = s.settler;
        payment.feeTo = msg.sender == s.settler ? s.settler : s.award.payout;
        payment.publisher = _publisher(s.order);
        payment.price = s.award.price;
        payment.royalty = s.award.price * s.order.royaltyBps / 10_000;
        payment.verifierFee = s.order.verifierFee;
    }

    function _requireProved(Settlement calldata s, bytes32 orderHash) private view returns (bytes32) {
        _program(s.order);
        uint256[] memory inputs = new uint256[](s.outputs.length + 2);
        inputs[0] = uint256(s.order.inputCommitment);
        for (uint256 i = 0; i < s.outputs.length; i++) {
            inputs[i + 1] = s.outputs[i];
        }
        inputs[inputs.length - 1] = binding(orderHash, s.award.payout, s.settler);
        Groth16.verify(registry.verifyingKeyOf(s.order.programId), inputs, s.proof);
        return keccak256(abi.encode(s.order.programId, inputs));
    }

    /// A missed promise: a quarter of the collateral to whoever did the job, the rest to nobody.
    function _slash(Payment memory payment, Order calldata order) private view {
        if (block.timestamp > order.finalBy) revert FinalMissed(order.finalBy);
        payment.bounty = order.collateral / 4;
        payment.burned = order.collateral - payment.bounty;
    }

    function _pay(Settlement calldata s, bytes32 orderHash, Payment memory payment) private {
        _entries[orderHash] = _entry(Status.Settled, payment.statementHash);
        _debit(s.order.client, payment.debited);
        _credit(s.order.client, payment.refunded);
        _credit(payment.payout, payment.price - payment.royalty + payment.bounty);
        _credit(payment.publisher, payment.royalty);
        _credit(payment.feeTo, payment.verifierFee);
        _credit(payment.lockedProver, payment.collateralReturned);
        _credit(BURNED, payment.burned);
        emit Settled(orderHash, s.order.programId, s.order.client, payment, s.outputs);
    }

    function _deposit(address account) private {
        if (account == address(0)) revert ZeroAddress();
        total += _amount(msg.value);
        _credit(account, msg.value);
        emit Deposited(account, msg.sender, msg.value);
    }

    function _credit(address account, uint256 amount) private {
        if (amount != 0) balanceOf[account] += amount;
    }

    function _debit(address account, uint256 amount) private {
        if (amount == 0) return;
        uint256 balance = balanceOf[account];
        if (amount > balance) revert InsufficientBalance(account, balance, amount);
        balanceOf[account] = balance - amount;
    }

    function _amount(uint256 amount) private pure returns (uint128) {
        if (amount > type(uint128).max) revert AmountTooLarge(amount);
        return uint128(amount);
    }

    function _status(uint256 entry) private pure returns (Status) {
        return Status(uint8(entry));
    }

    function _entry(Status status, bytes32 content) private pure returns (uint256) {
        return (uint256(content) & ~uint256(0xff)) | uint8(status);
    }
}

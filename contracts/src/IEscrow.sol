// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Award, Order, Settlement, Status} from "./Types.sol";

/// Events suffice to derive every balance; errors name what a caller did wrong.
interface IEscrow {
    event Deposited(address indexed account, address indexed from, uint256 amount);
    event WithdrawalRequested(address indexed account, uint256 amount, uint64 availableAt);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event TokenDeposited(address indexed token, address indexed account, address indexed from, uint256 amount);
    event TokenWithdrawalRequested(
        address indexed token, address indexed account, uint256 amount, uint64 availableAt
    );
    event TokenWithdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);
    /// A contract posted an open order; its parts are those of the order whose hash it is.
    event Submitted(bytes32 indexed orderHash, address indexed client, Order order);
    event CancelRequested(bytes32 indexed orderHash, address indexed client, uint64 effectiveAt);
    /// `terms`, packed: award hash, bid hash (32 each), flags (1: bit 3 if the price is not in ETH, bit 4 if the
    /// collateral is of another token), payout (20), price (16), promiseAt, lockBy (8 each), verifier fee, collateral
    /// (16 each); if bit 3, the token; if bit 4, the collateral's token (20 each).
    event Locked(
        bytes32 indexed orderHash, address indexed client, address indexed prover, bytes terms
    );
    /// `payment`, packed: flags (1: bits 0-1 are `How`, bit 2 is set if the fee went to the settler, bits 3 and 4 as
    /// in `terms`), royalty in basis points (2), prover, payout, settler, publisher (20 each), price, verifier fee,
    /// collateral (16 each); if voided, the prover (20) and the price (16) of the lock; if bit 3, the token; if bit 4,
    /// the collateral's token (20 each); then the outputs (32 each). Award, model and proof are in the call data.
    /// contracts/payments.py reads it.
    event Settled(
        bytes32 indexed orderHash, bytes32 indexed programId, address indexed client, bytes payment
    );
    /// A job of a batch was not settled, for the reason of this error; it does not hinder the others.
    event Skipped(bytes32 indexed orderHash, bytes4 reason);
    event Expired(
        bytes32 indexed orderHash,
        address indexed client,
        address indexed prover,
        address token,
        uint256 refunded,
        address collateralToken,
        uint256 burned
    );
    /// The prover gave the lock up before its promise; what is not burned of its collateral is returned.
    event Released(
        bytes32 indexed orderHash,
        address indexed client,
        address indexed prover,
        address token,
        uint256 refunded,
        address collateralToken,
        uint256 returned,
        uint256 burned
    );
    /// The consumer took the statement, at settlement or by `claim`.
    event Delivered(bytes32 indexed orderHash, address indexed consumer);
    /// The consumer refused; the payment stands, and anyone may `claim` later.
    event CallbackFailed(bytes32 indexed orderHash, address indexed consumer);

    error ZeroAddress();
    error AmountTooLarge(uint256 amount);
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error NoWithdrawalRequested();
    error WithdrawalNotReady(uint64 availableAt);
    error TransferFailed();

    error UnsupportedKind(uint8 kind);
    error RampMalformed();
    error UnknownProgram(bytes32 programId);
    error AnotherProofSystem(bytes32 programId);
    error DevProgramRefused(bytes32 programId);
    error ModelOfAnotherProgram(bytes32 modelId);
    error RoyaltyMismatch(uint16 given, uint16 registered);

    error TimeTooLarge();
    error AwardForAnotherOrder(bytes32 orderHash);
    error PriceAboveCap(uint256 price, uint256 cap);
    error PromiseTooLate(uint64 promiseAt, uint64 latest);
    error BadSignature();

    error NotClient(address client);
    error NotProver(address prover);
    error AlreadySettled(bytes32 orderHash);
    error AlreadyExpired(bytes32 orderHash);
    error AlreadyLocked(bytes32 orderHash);
    error AlreadyCancelled(bytes32 orderHash);
    error NotLocked(bytes32 orderHash);
    error LockedByAnotherAward(bytes32 orderHash);
    error LockStillHolds(uint64 promiseAt);

    error OrderMalformed();
    error BatchTooLarge(uint256 jobs);
    error NothingLive();

    error RampNotStarted(uint64 rampStart);
    error PriceNotReached(uint256 asked, uint256 reached);
    error ProverNotPayout(address prover, address payout);
    error NotOpenOrder();
    error InputNotPublic();

    error CallbackGasMissing(uint256 needed);
    error CallbackRefused(address consumer);
    error NotSettled(bytes32 orderHash);
    error NoConsumer(bytes32 orderHash);
    error AnotherStatement(bytes32 statementHash);
    error AlreadyDelivered(bytes32 orderHash);

    error LockTooLate(uint64 lockBy);
    error PromiseMissed(uint64 promiseAt);
    error FinalMissed(uint64 finalBy);
    error NotYetExpired(uint64 finalBy);

    function deposit() external payable;
    function depositFor(address account) external payable;
    function requestWithdraw(uint256 amount) external;
    function withdraw(address payable to) external;
    function depositToken(address token, address account, uint256 amount) external returns (uint256 received);
    function requestWithdrawToken(address token, uint256 amount) external;
    function withdrawToken(address token, address to) external;
    function submit(Order calldata order) external returns (bytes32 orderHash);
    function requestCancel(Order calldata order) external;
    function lock(Order calldata order, Award calldata award, bytes calldata signature) external;
    function lockPacked(bytes calldata packed) external;
    function settle(Settlement calldata s) external;
    function settleVoided(Settlement calldata s, Award calldata locking) external;
    function settleExternal(
        Order calldata order,
        Award calldata award,
        uint256[] calldata outputs,
        bytes calldata proof
    ) external;
    function settleBatch(bytes calldata packed) external returns (bytes4[] memory refusals);
    function release(Order calldata order, Award calldata locking) external;
    function claim(Order calldata order, uint256[] calldata inputs) external;
    function expire(Order calldata order, Award calldata locking) external;
    function expirePacked(bytes calldata packed) external;

    function balanceOf(address account) external view returns (uint256);
    function tokenBalanceOf(address token, address account) external view returns (uint256);
    function totalOf(address token) external view returns (uint256);
    function pendingTokenWithdrawalOf(address token, address account)
        external
        view
        returns (uint128 amount, uint64 availableAt);
    function flagsOf(bytes32 orderHash) external view returns (bool submitted, bool delivered);
    function pendingWithdrawalOf(address account) external view returns (uint128 amount, uint64 availableAt);
    function total() external view returns (uint256);
    function allowDev() external view returns (bool);
    function stateOf(bytes32 orderHash) external view returns (Status status, bytes31 content);
    function orderDigest(Order calldata order) external view returns (bytes32);
    function awardDigest(Award calldata award) external view returns (bytes32);
    function binding(bytes32 orderHash, address payout, address settler) external pure returns (uint256);
}

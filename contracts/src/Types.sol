// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Groth16Batch} from "./Groth16Batch.sol";

// The structs that accounts sign and settlers send; field by field as in docs/adr/0001.

/// What a client wants.
struct Order {
    address client;
    bytes32 programId;
    bytes32 modelId;
    uint8 kind;
    bytes32 inputCommitment;
    bytes32 inputHash;
    uint64 inputSize;
    bytes32 parametersHash;
    address token;
    uint256 priceFloor;
    uint256 priceCap;
    uint64 rampStart;
    uint64 rampEnd;
    uint256 verifierFee;
    uint16 royaltyBps;
    address collateralToken;
    uint256 collateral;
    uint64 promiseBy;
    uint64 finalBy;
    address consumer;
    bytes32 context;
    bytes32 replyKey;
    bytes32 salt;
}

/// The client's choice of one bid: the only client signature that the chain needs.
struct Award {
    bytes32 orderHash;
    bytes32 bidHash;
    address prover;
    address payout;
    uint256 price;
    uint64 promiseAt;
    uint64 lockBy;
}

/// Everything that proves a job done: who wanted it, who was chosen, and the statement with its proof.
struct Settlement {
    Order order;
    Award award;
    bytes signature;
    uint256[8] proof;
    uint256[] outputs;
    address settler;
}

/// One job under way, in memory: who wants what, and what settling it moves (in wei or units of the token).
struct Job {
    Order order;
    Award award;
    /// The award that locked the order, if the job is settled by another one (`voided`).
    Award locking;
    bool voided;
    address settler;
    bytes32 orderHash;
    bytes32 awardHash;
    /// The statement: input commitment, outputs, binding.
    uint256[] inputs;
    Groth16Batch.Program program;
    address publisher;
    How how;
    uint256 price;
}

/// Out of what a settlement is paid.
enum How {
    Direct, // the client's balance
    Kept, // the lock of this award, in time
    Late, // the lock of this award, after its promise
    Voided // the lock of another award, after its promise
}

/// What a publisher says of a model; immutable once published.
struct ModelRecord {
    bytes32 programId;
    bytes32 bundleId;
    bytes32 weightsCommitment;
    bytes32 onnxHash;
    bytes32 trainingDataRoot;
    bytes32 trainingRecordHash;
    bytes32 parentModel;
    uint16 royaltyBps;
    string licence;
    string uri;
}

/// What a publisher says later of a model: nodes should use another one, or none.
enum Advice {
    None,
    Superseded,
    Broken
}

/// What the chain knows of a program; its verifying key lies in the code of `keyPointer`, which for another proof
/// system than Groth16 is its verifier.
struct Program {
    uint8 proofSystem;
    bool dev;
    address keyPointer;
    bytes32 layoutHash;
    bytes32 setupId;
}

/// The life of an order on-chain. A direct settlement goes from None (or CancelRequested) to Settled.
enum Status {
    None,
    CancelRequested,
    Locked,
    Settled,
    Expired
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// A contract that wants to be told what was proved; an order names it as `consumer`.
interface IProofConsumer {
    /// Called by the Escrow, once for each order, after the statement was proved and everyone was paid.
    /// `inputs` is the whole statement: input commitment, outputs, binding of the order.
    function onProof(
        bytes32 orderHash,
        address client,
        bytes32 context,
        bytes32 programId,
        uint256[] calldata inputs
    ) external;
}

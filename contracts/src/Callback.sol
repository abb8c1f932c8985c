// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IEscrow} from "./IEscrow.sol";
import {IProofConsumer} from "./IProofConsumer.sol";

/// Tells a consumer what was proved. Whatever it does, the caller goes on: its gas is bounded, what it
/// returns is not copied, and the Escrow's guard is closed while it runs.
library Callback {
    /// What a consumer may use within a settlement, and gets at least in a claim.
    uint256 internal constant GAS = 200_000;
    /// What the Escrow itself must have left after it.
    uint256 private constant RESERVE = 20_000;

    struct Delivery {
        bytes32 orderHash;
        address client;
        address consumer;
        bytes32 context;
        bytes32 programId;
        uint256[] inputs;
    }

    /// Gas that must be there right before the call, so that a consumer gets all of its own (EIP-150 keeps 1/64):
    /// without this, who sends a settlement or a claim could starve it.
    uint256 private constant NEEDED = GAS * 64 / 63 + RESERVE;

    function deliver(Delivery memory d, uint256 gasLimit) internal returns (bool done) {
        address consumer = d.consumer;
        if (consumer.code.length == 0) return false;
        bytes memory data =
            abi.encodeCall(IProofConsumer.onProof, (d.orderHash, d.client, d.context, d.programId, d.inputs));
        if (gasleft() < NEEDED) revert IEscrow.CallbackGasMissing(NEEDED);
        assembly ("memory-safe") {
            done := call(gasLimit, consumer, 0, add(data, 32), mload(data), 0, 0)
        }
    }
}

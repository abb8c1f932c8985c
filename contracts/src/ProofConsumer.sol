// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CodeStorage} from "./CodeStorage.sol";
import {Groth16} from "./Groth16.sol";
import {IEscrow} from "./IEscrow.sol";
import {IProofConsumer} from "./IProofConsumer.sol";
import {IRegistry} from "./IRegistry.sol";

/// What a contract that acts on proofs must check, once: who calls, of which program, and whose statement it
/// is. A statement reaches it by the market (the Escrow calls `onProof`; the statement is the order's client's),
/// or directly, with a proof that was made locally and is bound to this contract and a subject.
abstract contract ProofConsumer is IProofConsumer {
    error NotEscrow(address caller);
    error AnotherProgram(bytes32 programId);
    error NotBoundTo(address subject);
    error StatementTooShort(uint256 inputs);

    bytes32 public constant LOCAL_TAG = keccak256("proofmesh.binding.local.v1");

    /// A key of another proof system is none that proofs made locally could be checked with.
    uint8 private constant GROTH16_BN254 = 1;

    address public immutable escrow;
    bytes32 public immutable programId;
    address private immutable _key;

    constructor(address escrow_, IRegistry registry, bytes32 programId_) {
        (uint8 proofSystem, bool dev, address key) = registry.keyOf(programId_);
        if (proofSystem != GROTH16_BN254) revert AnotherProgram(programId_);
        // Anybody can forge a proof under development keys. Of the market's the Escrow takes none; nor are local ones.
        if (dev && !IEscrow(escrow_).allowDev()) revert IEscrow.DevProgramRefused(programId_);
        (escrow, programId, _key) = (escrow_, programId_, key);
    }

    /// The Escrow has verified and bound the proof: its statement belongs to the order's client.
    function onProof(bytes32, address client, bytes32 context, bytes32 ofProgram, uint256[] calldata inputs)
        external
    {
        if (msg.sender != escrow) revert NotEscrow(msg.sender);
        if (ofProgram != programId) revert AnotherProgram(ofProgram);
        if (inputs.length < 2) revert StatementTooShort(inputs.length);
        _accept(client, context, inputs);
    }

    /// The last public input of a proof made for this contract on this chain by `subject`, and for no other.
    function localBinding(address subject) public view returns (uint256) {
        return uint256(keccak256(abi.encode(LOCAL_TAG, block.chainid, address(this), subject))) >> 8;
    }

    /// Acts on a statement of `subject`; reverts if it does not want it. `context` is zero for a local proof.
    function _accept(address subject, bytes32 context, uint256[] memory inputs) internal virtual;

    /// Verifies a local proof of `subject`, then acts on it.
    function _acceptLocal(address subject, uint256[] calldata inputs, uint256[8] calldata proof) internal {
        if (inputs.length < 2) revert StatementTooShort(inputs.length);
        if (inputs[inputs.length - 1] != localBinding(subject)) revert NotBoundTo(subject);
        Groth16.verify(CodeStorage.readWords(_key), inputs, proof);
        _accept(subject, 0, inputs);
    }
}

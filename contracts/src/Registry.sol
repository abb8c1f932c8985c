// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {CodeStorage} from "./CodeStorage.sol";
import {ExternalProof} from "./ExternalProof.sol";
import {Groth16} from "./Groth16.sol";
import {IRegistry} from "./IRegistry.sol";
import {Advice, ModelRecord, Program} from "./Types.sol";

/// Programs (what can be proved) and models (what is said of them). Anyone may add; nobody can change or
/// remove. An id is the hash of its content, so what it names is what it always was. A publisher may advise
/// against its own model; that binds nobody, and the Escrow does not look at it: who was promised a price for a
/// proof gets it.
contract Registry is IRegistry {
    struct Model {
        bytes32 programId;
        address publisher;
        uint16 royaltyBps;
        address recordPointer;
        bytes32 parent;
    }

    struct Advisory {
        Advice advice;
        bytes32 successor;
    }

    uint8 public constant GROTH16_BN254 = 1;
    /// Any other proof system, behind IProofVerifier.
    uint8 public constant EXTERNAL_VERIFIER = 2;
    uint16 public constant MAX_ROYALTY_BPS = 5_000;

    mapping(bytes32 programId => Program) private _programs;
    mapping(bytes32 programId => bytes32) private _codeHashes;
    mapping(bytes32 modelId => Model) private _models;
    mapping(bytes32 modelId => Advisory) private _advisories;

    /// Registers a verifying key; the same program again gives the same id and changes nothing.
    function registerProgram(
        uint8 proofSystem,
        uint256[] calldata vk,
        bytes32 layoutHash,
        bytes32 setupId,
        bool dev
    ) external returns (bytes32 programId) {
        if (proofSystem != GROTH16_BN254) revert UnsupportedProofSystem(proofSystem);
        bytes memory packed = abi.encodePacked(vk);
        programId = keccak256(abi.encode(proofSystem, keccak256(packed), layoutHash, setupId, dev));
        if (_programs[programId].proofSystem != 0) return programId;

        Groth16.requireSoundKey(vk);
        address keyPointer = CodeStorage.write(packed);
        _programs[programId] = Program(proofSystem, dev, keyPointer, layoutHash, setupId);
        uint256 inputs = (vk.length - Groth16.HEAD) / 2 - 1;
        emit ProgramRegistered(programId, msg.sender, proofSystem, inputs, layoutHash, setupId, dev);
    }

    /// Registers a program of another proof system by the contract that verifies it, whose code is pinned: the id
    /// names both. Anyone may register any contract, also one that says yes to everything: look before you lock.
    function registerVerifier(address verifier, bytes32 layoutHash, bytes32 setupId, bool dev)
        external
        returns (bytes32 programId)
    {
        bytes32 codeHash = ExternalProof.pin(verifier);
        bytes32 keyHash = keccak256(abi.encode(verifier, codeHash));
        programId = keccak256(abi.encode(EXTERNAL_VERIFIER, keyHash, layoutHash, setupId, dev));
        if (_programs[programId].proofSystem != 0) return programId;

        _programs[programId] = Program(EXTERNAL_VERIFIER, dev, verifier, layoutHash, setupId);
        _codeHashes[programId] = codeHash;
        emit VerifierRegistered(programId, msg.sender, verifier, codeHash, layoutHash, setupId, dev);
    }

    /// Returns if the verifier of the program says that `proof` proves `inputs`; reverts otherwise.
    function requireProven(bytes32 programId, uint256[] calldata inputs, bytes calldata proof) external view {
        (address verifier, bytes32 codeHash) = verifierOf(programId);
        ExternalProof.check(verifier, codeHash, inputs, proof);
    }

    /// Publishes a model in the name of the caller, who earns its royalty.
    function publishModel(ModelRecord calldata record) external returns (bytes32 modelId) {
        modelId = keccak256(abi.encode(msg.sender, record));
        if (_models[modelId].publisher != address(0)) return modelId;

        if (_programs[record.programId].proofSystem == 0) revert UnknownProgram(record.programId);
        if (record.royaltyBps > MAX_ROYALTY_BPS) revert RoyaltyTooHigh(record.royaltyBps);
        bytes32 parent = record.parentModel;
        if (parent != 0 && _models[parent].publisher == address(0)) revert UnknownModel(parent);

        address recordPointer = CodeStorage.write(abi.encode(record));
        _models[modelId] = Model(record.programId, msg.sender, record.royaltyBps, recordPointer, parent);
        emit ModelPublished(modelId, msg.sender, record.programId, record);
    }

    /// Says of the caller's own model that another one, or none, should be used; replaces what it said before.
    function advise(bytes32 modelId, Advice advice, bytes32 successor, string calldata reason) external {
        address publisher = _models[modelId].publisher;
        if (publisher == address(0)) revert UnknownModel(modelId);
        if (msg.sender != publisher) revert NotPublisher(publisher);
        if (successor != 0 && _models[successor].publisher == address(0)) revert UnknownModel(successor);
        _advisories[modelId] = Advisory(advice, successor);
        emit Advised(modelId, advice, successor, reason);
    }

    function adviceOf(bytes32 modelId) external view returns (Advice advice, bytes32 successor) {
        return (_advisories[modelId].advice, _advisories[modelId].successor);
    }

    /// The model, its parent, the parent's parent: at most `limit` of them, and none for a model unknown.
    function lineageOf(bytes32 modelId, uint256 limit) external view returns (bytes32[] memory ids) {
        uint256 length = 0;
        for (bytes32 id = modelId; id != 0 && length < limit && _models[id].publisher != address(0); length++) {
            id = _models[id].parent;
        }
        ids = new bytes32[](length);
        for (uint256 i = 0; i < length; i++) {
            ids[i] = modelId;
            modelId = _models[modelId].parent;
        }
    }

    /// What is known of a program; `proofSystem` is zero for one that does not exist.
    function programOf(bytes32 programId) external view returns (Program memory) {
        return _programs[programId];
    }

    /// The contract that verifies a program of another proof system, and the hash of the code that it must have.
    function verifierOf(bytes32 programId) public view returns (address verifier, bytes32 codeHash) {
        codeHash = _codeHashes[programId];
        if (codeHash == 0) revert UnknownProgram(programId);
        return (_programs[programId].keyPointer, codeHash);
    }

    /// What a settlement needs of a program, from one slot. The words of a key are the pointer's code; of another
    /// proof system the pointer is the verifier.
    function keyOf(bytes32 programId)
        external
        view
        returns (uint8 proofSystem, bool dev, address keyPointer)
    {
        Program storage program = _programs[programId];
        return (program.proofSystem, program.dev, program.keyPointer);
    }

    function verifyingKeyOf(bytes32 programId) external view returns (uint256[] memory vk) {
        if (_programs[programId].proofSystem != GROTH16_BN254) revert UnknownProgram(programId);
        return CodeStorage.readWords(_programs[programId].keyPointer);
    }

    function modelOf(bytes32 modelId)
        external
        view
        returns (address publisher, ModelRecord memory record)
    {
        Model storage model = _models[modelId];
        if (model.publisher == address(0)) revert UnknownModel(modelId);
        return (model.publisher, abi.decode(CodeStorage.read(model.recordPointer), (ModelRecord)));
    }

    /// Publisher and share of the price; both zero for a model that does not exist.
    function royaltyOf(bytes32 modelId) external view returns (address publisher, uint16 royaltyBps) {
        return (_models[modelId].publisher, _models[modelId].royaltyBps);
    }

    /// What a settlement needs of a model; all zero for one that does not exist.
    function termsOf(bytes32 modelId)
        external
        view
        returns (bytes32 programId, address publisher, uint16 royaltyBps)
    {
        Model storage model = _models[modelId];
        return (model.programId, model.publisher, model.royaltyBps);
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Advice, ModelRecord, Program} from "./Types.sol";

interface IRegistry {
    event ProgramRegistered(
        bytes32 indexed programId,
        address indexed registrant,
        uint8 proofSystem,
        uint256 inputs,
        bytes32 layoutHash,
        bytes32 setupId,
        bool dev
    );
    /// A program of another proof system; its verifier must have this code.
    event VerifierRegistered(
        bytes32 indexed programId,
        address indexed registrant,
        address indexed verifier,
        bytes32 codeHash,
        bytes32 layoutHash,
        bytes32 setupId,
        bool dev
    );
    event ModelPublished(
        bytes32 indexed modelId, address indexed publisher, bytes32 indexed programId, ModelRecord record
    );

    /// A publisher's word on its own model; `successor` is zero if there is none to use instead.
    event Advised(bytes32 indexed modelId, Advice advice, bytes32 indexed successor, string reason);

    error NotPublisher(address publisher);
    error UnsupportedProofSystem(uint8 proofSystem);
    error UnknownProgram(bytes32 programId);
    error UnknownModel(bytes32 modelId);
    error RoyaltyTooHigh(uint16 royaltyBps);

    function registerProgram(
        uint8 proofSystem,
        uint256[] calldata vk,
        bytes32 layoutHash,
        bytes32 setupId,
        bool dev
    ) external returns (bytes32 programId);

    function registerVerifier(address verifier, bytes32 layoutHash, bytes32 setupId, bool dev)
        external
        returns (bytes32 programId);

    function requireProven(bytes32 programId, uint256[] calldata inputs, bytes calldata proof) external view;

    function verifierOf(bytes32 programId) external view returns (address verifier, bytes32 codeHash);

    function publishModel(ModelRecord calldata record) external returns (bytes32 modelId);

    function programOf(bytes32 programId) external view returns (Program memory);

    function keyOf(bytes32 programId)
        external
        view
        returns (uint8 proofSystem, bool dev, address keyPointer);

    function verifyingKeyOf(bytes32 programId) external view returns (uint256[] memory vk);

    function modelOf(bytes32 modelId)
        external
        view
        returns (address publisher, ModelRecord memory record);

    function advise(bytes32 modelId, Advice advice, bytes32 successor, string calldata reason) external;

    function adviceOf(bytes32 modelId) external view returns (Advice advice, bytes32 successor);

    function lineageOf(bytes32 modelId, uint256 limit) external view returns (bytes32[] memory ids);

    function royaltyOf(bytes32 modelId) external view returns (address publisher, uint16 royaltyBps);

    function termsOf(bytes32 modelId)
        external
        view
        returns (bytes32 programId, address publisher, uint16 royaltyBps);
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IRegistry} from "./IRegistry.sol";
import {ProofConsumer} from "./ProofConsumer.sol";
import {Signatures} from "./Signatures.sol";

/// A lending pool that lends without collateral to who proves a good score on attested data.
///
/// An issuer (a bank, a bureau) signs a commitment to the applicant's data, the applicant's wallet and an
/// expiry. The applicant proves `score >= threshold` on exactly that commitment: locally, or through the market
/// with this contract as consumer. The pool learns one bit and never the data. What it checks, and which
/// attack that stops:
///
///   the issuer's signature      data that the applicant made up
///   the subject                 a second wallet, a bought attestation
///   the expiry                  data that was good once
///   the program and the result  another model, another threshold, a proof of `score < threshold`
///   the statement, once         the same data twice, also under a re-randomised proof
contract CreditGate is ProofConsumer {
    error ResultRefused();
    error NotAttested();
    error AttestationExpired(uint64 expiresAt);
    error NotProved(address subject, bytes32 commitment);
    error AlreadyUsed(bytes32 nullifier);
    error PoolEmpty(uint256 held);
    error TransferFailed();

    event Proved(address indexed subject, bytes32 indexed commitment);
    event Lent(address indexed subject, bytes32 indexed nullifier, uint256 amount);

    bytes32 public constant ATTESTATION_TYPEHASH =
        keccak256("Attestation(bytes32 commitment,address subject,uint64 expiresAt)");

    /// Who attests data.
    address public immutable issuer;
    /// The hash of the public inputs between commitment and binding that earn a loan: the threshold, where it is
    /// an input of the program, and the result `1`. A threshold that is a constant of the program is pinned by
    /// the program's id.
    bytes32 public immutable resultHash;
    uint256 public immutable loan;

    mapping(address subject => mapping(bytes32 commitment => bool)) public isProved;
    mapping(bytes32 nullifier => bool) public isUsed;

    constructor(
        address escrow_,
        IRegistry registry,
        bytes32 programId_,
        uint256[] memory result,
        address issuer_,
        uint256 loan_
    ) payable ProofConsumer(escrow_, registry, programId_) {
        (issuer, resultHash, loan) = (issuer_, keccak256(abi.encodePacked(result)), loan_);
    }

    receive() external payable {}

    /// Lends to the sender, who has proved its score through the market.
    function borrow(bytes32 commitment, uint64 expiresAt, bytes calldata attestation) external {
        _lend(commitment, expiresAt, attestation);
    }

    /// Lends to the sender, by a proof that it made itself.
    function borrowWithProof(
        uint256[] calldata inputs,
        uint256[8] calldata proof,
        uint64 expiresAt,
        bytes calldata attestation
    ) external {
        _acceptLocal(msg.sender, inputs, proof);
        _lend(bytes32(inputs[0]), expiresAt, attestation);
    }

    /// What an issuer signs (EIP-712, in this contract's own domain).
    function attestationDigest(bytes32 commitment, address subject, uint64 expiresAt) public view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("proofmesh CreditGate"),
                keccak256("1"),
                block.chainid,
                address(this)
            )
        );
        bytes32 content = keccak256(abi.encode(ATTESTATION_TYPEHASH, commitment, subject, expiresAt));
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    /// Keeps that a subject's data earns a loan; whether that data is attested is asked when it borrows.
    function _accept(address subject, bytes32, uint256[] memory inputs) internal override {
        uint256[] memory result = new uint256[](inputs.length - 2);
        for (uint256 i = 0; i < result.length; i++) {
            result[i] = inputs[i + 1];
        }
        if (keccak256(abi.encodePacked(result)) != resultHash) revert ResultRefused();
        isProved[subject][bytes32(inputs[0])] = true;
        emit Proved(subject, bytes32(inputs[0]));
    }

    function _lend(bytes32 commitment, uint64 expiresAt, bytes calldata attestation) private {
        if (block.timestamp > expiresAt) revert AttestationExpired(expiresAt);
        bytes32 digest = attestationDigest(commitment, msg.sender, expiresAt);
        if (!Signatures.isBy(issuer, digest, attestation)) revert NotAttested();
        if (!isProved[msg.sender][commitment]) revert NotProved(msg.sender, commitment);
        bytes32 nullifier = keccak256(abi.encode(msg.sender, commitment));
        if (isUsed[nullifier]) revert AlreadyUsed(nullifier);
        if (address(this).balance < loan) revert PoolEmpty(address(this).balance);
        isUsed[nullifier] = true;
        emit Lent(msg.sender, nullifier, loan);
        (bool sent,) = msg.sender.call{value: loan}("");
        if (!sent) revert TransferFailed();
    }
}

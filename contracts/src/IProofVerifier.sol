// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// A contract that checks proofs of another proof system: the seam between it and the market.
interface IProofVerifier {
    /// Answers with the selector of this function if `proof` proves `inputs`: the order's input commitment, then the
    /// outputs. Whatever else it does is a refusal. It must depend on nothing but its arguments and immutable code.
    function proves(uint256[] calldata inputs, bytes calldata proof) external view returns (bytes4);
}

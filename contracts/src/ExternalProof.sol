// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IProofVerifier} from "./IProofVerifier.sol";

/// Asks the verifier of another proof system, which anyone may have written: by a static call, with gas that is
/// bounded and that the sender cannot withhold, if its code is still the one that was registered. Of what it
/// answers one word is read.
library ExternalProof {
    error VerifierRefused(address verifier);
    error VerifierChanged(address verifier, bytes32 codeHash);
    error VerifierGasMissing(uint256 needed);
    error ExternalProofInvalid(address verifier);

    /// What a verifier may use; EZKL's use 0.5 to 0.7 million.
    uint256 internal constant GAS = 3_000_000;
    /// Of what is left, what the call itself and the rest of this library use at most.
    uint256 private constant RESERVE = 10_000;

    /// What code can be relied on at an address: a contract's, which is neither data nor a delegation (EIP-7702) that
    /// its owner takes back at will.
    function pin(address verifier) internal view returns (bytes32 codeHash) {
        bytes32 head;
        assembly ("memory-safe") {
            extcodecopy(verifier, 0, 0, 1)
            head := byte(0, mload(0))
        }
        if (verifier == address(this) || verifier.code.length == 0 || head == bytes32(uint256(0xef))) {
            revert VerifierRefused(verifier);
        }
        return verifier.codehash;
    }

    /// Returns if the verifier with this code says that `proof` proves `inputs`; reverts otherwise.
    function check(address verifier, bytes32 codeHash, uint256[] calldata inputs, bytes calldata proof) internal view {
        if (verifier.codehash != codeHash) revert VerifierChanged(verifier, verifier.codehash);
        bytes memory data = abi.encodeCall(IProofVerifier.proves, (inputs, proof));
        // EIP-150 keeps 1/64 back: a good proof must not look bad because too little gas was sent.
        uint256 needed = GAS * 64 / 63 + RESERVE;
        if (gasleft() < needed) revert VerifierGasMissing(needed);
        bool done;
        bytes32 answer;
        assembly ("memory-safe") {
            done := staticcall(GAS, verifier, add(data, 32), mload(data), 0, 32)
            done := and(done, eq(returndatasize(), 32))
            answer := mload(0)
        }
        if (!done || answer != bytes32(IProofVerifier.proves.selector)) revert ExternalProofInvalid(verifier);
    }
}

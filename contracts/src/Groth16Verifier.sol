// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Groth16} from "./Groth16.sol";

/// The check that the Escrow makes, open to anyone: for receipts, other contracts and `eth_call`.
contract Groth16Verifier {
    /// Returns if `proof` proves `inputs` under `key`; reverts otherwise.
    function verify(uint256[] calldata key, uint256[] calldata inputs, uint256[8] calldata proof)
        external
        view
    {
        Groth16.verify(key, inputs, proof);
    }

    /// Returns if a Registry would take the key; reverts otherwise.
    function requireSoundKey(uint256[] calldata key) external view {
        Groth16.requireSoundKey(key);
    }
}

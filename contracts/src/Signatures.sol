// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// Who signed: an account by ECDSA (65 bytes, low s), or a contract that says so (ERC-1271).
library Signatures {
    /// What a contract may use to say whether it signed: it must not spend the gas of a whole batch.
    uint256 internal constant WALLET_GAS = 100_000;

    function isBy(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        // ECDSA first: an account with delegated code (EIP-7702) still signs with its key.
        (address recovered, ECDSA.RecoverError failed,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failed == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return signer.code.length != 0 && _isByContract(signer, digest, signature);
    }

    function _isByContract(address signer, bytes32 digest, bytes calldata signature) private view returns (bool says) {
        bytes memory data = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes4 magic = IERC1271.isValidSignature.selector;
        assembly ("memory-safe") {
            // 32 bytes of the answer, however long it is.
            let done := staticcall(WALLET_GAS, signer, add(data, 32), mload(data), 0, 32)
            says := and(done, and(gt(returndatasize(), 31), eq(mload(0), magic)))
        }
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IEscrow} from "./IEscrow.sol";

/// A refusal is the data of the error to revert with, or to skip a job of a batch for; empty when there is none.
/// So one function says for `settle` and for `settleBatch` alike why a job cannot be paid.
abstract contract Refusals is IEscrow {
    function _refuse(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector);
    }

    function _refuse(bytes4 selector, uint256 value) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, value);
    }

    function _refuse(bytes4 selector, uint256 value, uint256 other) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(selector, value, other);
    }

    function _refuse(bytes4 selector, address account, uint256 value, uint256 other)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(selector, account, value, other);
    }

    /// Reverts with a refusal, if there is one.
    function _unless(bytes memory refusal) internal pure {
        if (refusal.length == 0) return;
        assembly ("memory-safe") {
            revert(add(refusal, 32), mload(refusal))
        }
    }
}

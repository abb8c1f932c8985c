// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Refusals} from "./Refusals.sol";
import {Award, Job, Order} from "./Types.sol";

/// What accounts sign (docs/adr/0001), and what a job in memory hashes to.
abstract contract Typed is Refusals {
    bytes32 public constant ORDER_TYPEHASH = keccak256(
        "Order(address client,bytes32 programId,bytes32 modelId,uint8 kind,bytes32 inputCommitment,"
        "bytes32 inputHash,uint64 inputSize,bytes32 parametersHash,address token,uint256 priceFloor,"
        "uint256 priceCap,uint64 rampStart,uint64 rampEnd,uint256 verifierFee,uint16 royaltyBps,"
        "address collateralToken,uint256 collateral,uint64 promiseBy,uint64 finalBy,address consumer,"
        "bytes32 context,bytes32 replyKey,bytes32 salt)"
    );
    bytes32 public constant AWARD_TYPEHASH = keccak256(
        "Award(bytes32 orderHash,bytes32 bidHash,address prover,address payout,uint256 price,"
        "uint64 promiseAt,uint64 lockBy)"
    );
    bytes32 public constant BINDING_TAG = keccak256("proofmesh.binding.market.v1");

    uint256 internal constant ORDER_WORDS = 23;
    uint256 internal constant AWARD_WORDS = 7;

    uint256 private immutable _chainId = block.chainid;
    bytes32 private immutable _separator = _newSeparator();

    function orderDigest(Order calldata order) external view returns (bytes32) {
        return _typedDigest(keccak256(abi.encode(ORDER_TYPEHASH, order)));
    }

    function awardDigest(Award calldata award) external view returns (bytes32) {
        return _typedDigest(keccak256(abi.encode(AWARD_TYPEHASH, award)));
    }

    /// The last public input: a proof made for one order, payout and settler is void for any other.
    function binding(bytes32 orderHash, address payout, address settler) public pure returns (uint256) {
        return uint256(keccak256(abi.encode(BINDING_TAG, orderHash, payout, settler))) >> 8;
    }

    /// EIP-712; after a fork the other chain's signatures are void here.
    function _typedDigest(bytes32 structHash) private view returns (bytes32 digest) {
        bytes32 separator = block.chainid == _chainId ? _separator : _newSeparator();
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(0, hex"1901")
            mstore(2, separator)
            mstore(34, structHash)
            digest := keccak256(0, 66)
            mstore(0x40, free)
        }
    }

    function _newSeparator() private view returns (bytes32) {
        bytes32 domain = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        return keccak256(abi.encode(domain, keccak256("proofmesh"), keccak256("1"), block.chainid, address(this)));
    }

    /// A job whose structs stand right behind their type hashes, so that hashing them copies nothing.
    function _newJob() internal pure returns (Job memory job) {
        bytes32 orderType = ORDER_TYPEHASH;
        bytes32 awardType = AWARD_TYPEHASH;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(0x40, add(at, 1280)) // 24, 8 and 8 words
            mstore(at, orderType)
            mstore(job, add(at, 32))
            mstore(add(at, 768), awardType)
            mstore(add(job, 32), add(at, 800))
            mstore(add(at, 1024), awardType)
            mstore(add(job, 64), add(at, 1056))
        }
    }

    function _copy(Order memory to, Order calldata order) internal pure {
        assembly ("memory-safe") {
            calldatacopy(to, order, 736)
        }
    }

    function _copy(Award memory to, Award calldata award) internal pure {
        assembly ("memory-safe") {
            calldatacopy(to, award, 224)
        }
    }

    /// The digest of an order that `_newJob` placed.
    function _digest(Order memory order) internal view returns (bytes32) {
        bytes32 structHash;
        assembly ("memory-safe") {
            structHash := keccak256(sub(order, 32), 768)
        }
        return _typedDigest(structHash);
    }

    /// The digest of an award that `_newJob` placed.
    function _digest(Award memory award) internal view returns (bytes32) {
        bytes32 structHash;
        assembly ("memory-safe") {
            structHash := keccak256(sub(award, 32), 256)
        }
        return _typedDigest(structHash);
    }

    /// Whether every field holds what its type can: the words were copied, not decoded.
    function _isClean(Order memory order) internal pure returns (bool clean) {
        assembly ("memory-safe") {
            let addresses := or(mload(order), or(mload(add(order, 256)), or(mload(add(order, 480)), mload(add(order, 608)))))
            let times := or(mload(add(order, 192)), or(mload(add(order, 352)), mload(add(order, 384))))
            times := or(times, or(mload(add(order, 544)), mload(add(order, 576))))
            let rest := or(shr(8, mload(add(order, 96))), shr(16, mload(add(order, 448))))
            clean := iszero(or(or(shr(160, addresses), shr(64, times)), rest))
        }
    }

    function _isClean(Award memory award) internal pure returns (bool clean) {
        assembly ("memory-safe") {
            let addresses := or(mload(add(award, 64)), mload(add(award, 96)))
            let times := or(mload(add(award, 160)), mload(add(award, 192)))
            clean := iszero(or(shr(160, addresses), shr(64, times)))
        }
    }
}

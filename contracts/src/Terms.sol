// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Groth16Batch} from "./Groth16Batch.sol";
import {IRegistry} from "./IRegistry.sol";
import {Typed} from "./Typed.sol";
import {Award, Job, Order} from "./Types.sol";

/// What an order and an award must satisfy, alone and by what the Registry says. A refusal is the data of
/// the error to revert with, or to skip a job for; empty when there is none.
abstract contract Terms is Typed {
    /// What the Registry says of a pair of program and model.
    struct Registered {
        bytes32 programId;
        bytes32 modelId;
        address publisher;
        uint16 royaltyBps;
        Groth16Batch.Program program;
    }

    /// The pairs that a batch has read from the Registry.
    struct Cache {
        uint256 count;
        Registered[] pairs;
    }

    IRegistry public immutable registry;
    bool public immutable allowDev;

    /// Pairs that a cache holds; further ones are read for each job.
    uint256 private constant CAPACITY = 16;

    constructor(IRegistry registry_, bool allowDev_) {
        registry = registry_;
        allowDev = allowDev_;
    }

    function _termsRefusal(Order memory order, Award memory award, bytes32 orderHash)
        internal
        pure
        returns (bytes memory)
    {
        if (!_isClean(order) || !_isClean(award)) return abi.encodeWithSelector(OrderMalformed.selector);
        if (order.kind != 0) return abi.encodeWithSelector(UnsupportedKind.selector, order.kind);
        if (order.token != address(0)) return abi.encodeWithSelector(UnsupportedToken.selector, order.token);
        if (order.collateralToken != address(0)) {
            return abi.encodeWithSelector(UnsupportedToken.selector, order.collateralToken);
        }
        if (order.consumer != address(0)) {
            return abi.encodeWithSelector(UnsupportedConsumer.selector, order.consumer);
        }
        uint256 amounts = order.priceCap | order.verifierFee | order.collateral;
        if (amounts >> 128 != 0) return abi.encodeWithSelector(AmountTooLarge.selector, amounts);
        // Times are below 2^63 everywhere off-chain; what could not be read there is not taken here.
        if ((order.promiseBy | order.finalBy | award.lockBy) >> 63 != 0) {
            return abi.encodeWithSelector(TimeTooLarge.selector);
        }
        if (award.orderHash != orderHash) {
            return abi.encodeWithSelector(AwardForAnotherOrder.selector, award.orderHash);
        }
        if (award.price > order.priceCap) {
            return abi.encodeWithSelector(PriceAboveCap.selector, award.price, order.priceCap);
        }
        if (award.promiseAt > order.promiseBy) {
            return abi.encodeWithSelector(PromiseTooLate.selector, award.promiseAt, order.promiseBy);
        }
        if (award.payout == address(0)) return abi.encodeWithSelector(ZeroAddress.selector);
        return "";
    }

    function _newCache() internal pure returns (Cache memory cache) {
        Registered[] memory pairs;
        assembly ("memory-safe") {
            // References only, each set before it is read.
            pairs := mload(0x40)
            mstore(pairs, CAPACITY)
            mstore(0x40, add(pairs, shl(5, add(CAPACITY, 1))))
        }
        cache.pairs = pairs;
    }

    /// Fills in program and publisher of a job; its order must state what the Registry says.
    function _registryRefusal(Cache memory cache, Job memory job) internal view returns (bytes memory refusal) {
        Order memory order = job.order;
        uint256 index = _find(cache, order.programId, order.modelId);
        if (index == cache.count) {
            if (index == CAPACITY) index = 0; // full: begin anew
            cache.count = index;
            refusal = _load(cache, order.programId, order.modelId);
            if (refusal.length != 0) return refusal;
            cache.count = index + 1;
        }
        Registered memory found = cache.pairs[index];
        if (order.royaltyBps != found.royaltyBps) {
            return abi.encodeWithSelector(RoyaltyMismatch.selector, order.royaltyBps, found.royaltyBps);
        }
        (job.program, job.publisher) = (found.program, found.publisher);
    }

    function _find(Cache memory cache, bytes32 programId, bytes32 modelId) private pure returns (uint256 index) {
        for (index = 0; index < cache.count; index++) {
            if (cache.pairs[index].programId == programId && cache.pairs[index].modelId == modelId) break;
        }
    }

    /// Reads a pair into the cache, behind the last one.
    function _load(Cache memory cache, bytes32 programId, bytes32 modelId) private view returns (bytes memory) {
        Registered memory found;
        (found.programId, found.modelId) = (programId, modelId);
        (uint8 proofSystem, bool dev, address keyPointer) = registry.keyOf(programId);
        if (proofSystem == 0) return abi.encodeWithSelector(UnknownProgram.selector, programId);
        if (dev && !allowDev) return abi.encodeWithSelector(DevProgramRefused.selector, programId);
        if (modelId != 0) {
            bytes32 ofModel;
            (ofModel, found.publisher, found.royaltyBps) = registry.termsOf(modelId);
            if (ofModel != programId) return abi.encodeWithSelector(ModelOfAnotherProgram.selector, modelId);
        }
        uint256 same = 0;
        while (same < cache.count && cache.pairs[same].programId != programId) same++;
        found.program = same < cache.count ? cache.pairs[same].program : Groth16Batch.load(keyPointer);
        cache.pairs[cache.count] = found;
        return "";
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Groth16Batch} from "./Groth16Batch.sol";
import {IRegistry} from "./IRegistry.sol";
import {Typed} from "./Typed.sol";
import {Award, Job, Order} from "./Types.sol";

/// What an order and an award must satisfy, alone and by what the Registry says.
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
        /// Of the programs: GROTH16, or EXTERNAL for the one job that is settled so.
        uint256 proofSystem;
    }

    /// Kind of an order that no award names a prover for.
    uint8 internal constant OPEN_ORDER = 1;

    /// Proof systems, as the Registry numbers them.
    uint256 internal constant GROTH16 = 1;
    uint256 internal constant EXTERNAL = 2;

    IRegistry public immutable registry;
    bool public immutable override allowDev;

    /// Pairs that a cache holds; further ones are read for each job.
    uint256 private constant CAPACITY = 16;

    constructor(IRegistry registry_, bool allowDev_) {
        registry = registry_;
        allowDev = allowDev_;
    }

    function _termsRefusal(Order memory order, Award memory award, bytes32 orderHash)
        internal
        pure
        returns (bytes memory refusal)
    {
        if (!_isClean(order) || !_isClean(award)) return _refuse(OrderMalformed.selector);
        if (order.kind > OPEN_ORDER) return _refuse(UnsupportedKind.selector, order.kind);
        uint256 amounts = order.priceCap | order.verifierFee | order.collateral;
        if (amounts >> 128 != 0) return _refuse(AmountTooLarge.selector, amounts);
        // Times are below 2^63 everywhere off-chain; what could not be read there is not taken here.
        if ((order.promiseBy | order.finalBy | award.lockBy) >> 63 != 0) {
            return _refuse(TimeTooLarge.selector);
        }
        if (award.orderHash != orderHash) {
            return _refuse(AwardForAnotherOrder.selector, uint256(award.orderHash));
        }
        if (award.price > order.priceCap) {
            return _refuse(PriceAboveCap.selector, award.price, order.priceCap);
        }
        if (award.promiseAt > order.promiseBy) {
            return _refuse(PromiseTooLate.selector, award.promiseAt, order.promiseBy);
        }
        if (award.payout == address(0)) return _refuse(ZeroAddress.selector);
        if (order.kind == OPEN_ORDER && (order.priceFloor > order.priceCap || order.rampStart > order.rampEnd)) {
            return _refuse(RampMalformed.selector);
        }
    }

    /// What an open order costs now: it rises evenly from the floor to the cap.
    function _priceOf(Order memory order) internal view returns (uint256) {
        if (block.timestamp >= order.rampEnd) return order.priceCap;
        if (block.timestamp <= order.rampStart) return order.priceFloor;
        uint256 passed = block.timestamp - order.rampStart;
        return order.priceFloor + (order.priceCap - order.priceFloor) * passed / (order.rampEnd - order.rampStart);
    }

    /// Whether an open order costs at least what its award asks; its ramp may not have begun.
    function _rampRefusal(Order memory order, Award memory award) internal view returns (bytes memory refusal) {
        if (block.timestamp < order.rampStart) {
            return _refuse(RampNotStarted.selector, order.rampStart);
        }
        uint256 price = _priceOf(order);
        if (award.price > price) return _refuse(PriceNotReached.selector, award.price, price);
    }

    function _newCache() internal pure returns (Cache memory cache) {
        Registered[] memory pairs;
        assembly ("memory-safe") {
            // References only, each set before it is read.
            pairs := mload(0x40)
            mstore(pairs, CAPACITY)
            mstore(0x40, add(pairs, shl(5, add(CAPACITY, 1))))
        }
        (cache.pairs, cache.proofSystem) = (pairs, GROTH16);
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
            return _refuse(RoyaltyMismatch.selector, order.royaltyBps, found.royaltyBps);
        }
        (job.program, job.publisher) = (found.program, found.publisher);
    }

    function _find(Cache memory cache, bytes32 programId, bytes32 modelId) private pure returns (uint256 index) {
        uint256 count = cache.count;
        Registered[] memory pairs = cache.pairs;
        assembly ("memory-safe") {
            for { let at := add(pairs, 32) } lt(index, count) { at := add(at, 32) } {
                let pair := mload(at)
                if and(eq(mload(pair), programId), eq(mload(add(pair, 32)), modelId)) { break }
                index := add(index, 1)
            }
        }
    }

    /// Reads a pair into the cache, behind the last one.
    function _load(Cache memory cache, bytes32 programId, bytes32 modelId)
        private
        view
        returns (bytes memory refusal)
    {
        Registered memory found;
        (found.programId, found.modelId) = (programId, modelId);
        (uint8 proofSystem, bool dev, address keyPointer) = registry.keyOf(programId);
        if (proofSystem == 0) return _refuse(UnknownProgram.selector, uint256(programId));
        if (proofSystem != cache.proofSystem) return _refuse(AnotherProofSystem.selector, uint256(programId));
        if (dev && !allowDev) return _refuse(DevProgramRefused.selector, uint256(programId));
        if (modelId != 0) {
            bytes32 ofModel;
            (ofModel, found.publisher, found.royaltyBps) = registry.termsOf(modelId);
            if (ofModel != programId) return _refuse(ModelOfAnotherProgram.selector, uint256(modelId));
        }
        cache.pairs[cache.count] = found;
        if (proofSystem != GROTH16) return refusal;
        uint256 same = 0;
        while (same < cache.count && cache.pairs[same].programId != programId) same++;
        found.program = same < cache.count ? cache.pairs[same].program : Groth16Batch.load(keyPointer);
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Escrow} from "../src/Escrow.sol";
import {Groth16} from "../src/Groth16.sol";
import {IRegistry} from "../src/IRegistry.sol";
import {Registry} from "../src/Registry.sol";
import {Award, ModelRecord, Order, Settlement} from "../src/Types.sol";
import {Vm} from "./Vm.sol";

/// An Escrow with one program whose set-up secrets are known here, so that valid proofs can be written down
/// (the zero-knowledge simulator of Groth16): the verifier in these tests is the real one.
abstract contract Market {
    bool public constant IS_TEST = true;
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    uint256 internal constant CLIENT_KEY = 0xC11E;
    uint64 internal constant DELAY = 600;
    uint256 internal constant START = 1_800_000_000;
    uint256 private constant R = Groth16.R;
    // Discrete logarithms of A, alpha and IC; those of B, beta, gamma and delta are 1, 2, 3 and 4.
    uint256 private constant A = 77;
    uint256 private constant ALPHA = 5;

    Registry internal registry;
    Escrow internal escrow;
    bytes32 internal programId;
    bytes32 internal modelId;
    address internal client;
    address internal prover = address(0x9901);
    address internal rival = address(0x9902);
    address internal settler = address(0x9903);
    address internal publisher = address(0x9904);

    function openMarket() internal {
        vm.warp(START);
        registry = new Registry();
        escrow = new Escrow(registry, true, DELAY);
        client = vm.addr(CLIENT_KEY);
        programId = registry.registerProgram(1, key(), bytes32(0), bytes32(0), true);
        vm.prank(publisher);
        modelId = registry.publishModel(
            ModelRecord(programId, 0, 0, 0, 0, 0, 0, 250, "CC0-1.0", "bundle:test")
        );
        fund(client, 10 ether);
        fund(prover, 10 ether);
        fund(rival, 10 ether);
    }

    function fund(address account, uint256 amount) internal {
        vm.deal(address(this), amount);
        escrow.depositFor{value: amount}(account);
    }

    function newOrder(uint256 salt) internal view returns (Order memory order) {
        order.client = client;
        order.programId = programId;
        order.modelId = modelId;
        order.royaltyBps = 250;
        order.inputCommitment = bytes32(uint256(49));
        order.priceCap = 1 ether;
        order.verifierFee = 1001;
        order.collateral = 4003;
        order.promiseBy = uint64(block.timestamp + 100);
        order.finalBy = uint64(block.timestamp + 200);
        order.salt = bytes32(salt);
    }

    function newAward(Order memory order, address to, uint256 price) internal view returns (Award memory award) {
        award.orderHash = escrow.orderDigest(order);
        award.prover = to;
        award.payout = to;
        award.price = price;
        award.promiseAt = order.promiseBy;
        award.lockBy = order.promiseBy;
    }

    function sign(Award memory award) internal returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CLIENT_KEY, escrow.awardDigest(award));
        return abi.encodePacked(r, s, v);
    }

    function lockIt(Order memory order, Award memory award) internal {
        bytes memory signature = sign(award);
        vm.prank(award.prover);
        escrow.lock(order, award, signature);
    }

    function settlement(Order memory order, Award memory award) internal returns (Settlement memory s) {
        s.order = order;
        s.award = award;
        s.signature = sign(award);
        s.outputs = new uint256[](1);
        s.outputs[0] = 343;
        s.settler = settler;
        uint256[3] memory inputs =
            [uint256(order.inputCommitment), 343, escrow.binding(award.orderHash, award.payout, settler)];
        s.proof = simulate(inputs);
    }

    /// A batch as Packing.sol reads it, whose pool has every word of every job for itself. A job with a `locking`
    /// award that is not empty is voided.
    function pack(Settlement[] memory jobs, Award[] memory lockings) public pure returns (bytes memory) {
        bytes memory pool;
        bytes memory packed;
        for (uint256 i = 0; i < jobs.length; i++) {
            (bytes memory words, bytes memory job) = _packJob(jobs[i], lockings[i], pool.length / 32);
            (pool, packed) = (bytes.concat(pool, words), bytes.concat(packed, job));
        }
        return bytes.concat(bytes2(uint16(pool.length / 32)), pool, bytes1(uint8(jobs.length)), packed);
    }

    /// The words of a job, the first of them at `first` of the pool, and the job.
    function _packJob(Settlement memory s, Award memory locking, uint256 first)
        private
        pure
        returns (bytes memory words, bytes memory job)
    {
        bool voided = locking.prover != address(0);
        words = bytes.concat(_orderWords(s.order), _awardWords(s.award), abi.encode(s.settler));
        words = bytes.concat(words, abi.encodePacked(s.outputs), voided ? _awardWords(locking) : bytes(""));
        uint256 outputs = s.outputs.length;
        job = bytes.concat(_indices(first, 27), bytes2(uint16(outputs)), bytes2(uint16(s.signature.length)));
        job = bytes.concat(job, bytes1(uint8(voided ? 1 : 0)), s.order.inputCommitment, s.order.salt, s.award.bidHash);
        job = bytes.concat(job, abi.encode(s.proof), _indices(first + 27, outputs), s.signature);
        if (voided) job = bytes.concat(job, locking.bidHash, _indices(first + 27 + outputs, 5));
    }

    function pack(Settlement[] memory jobs) internal pure returns (bytes memory) {
        return pack(jobs, new Award[](jobs.length));
    }

    /// A single order with all its fields, and an award.
    function packSingle(Order memory order, Award memory award) internal pure returns (bytes memory packed) {
        packed = abi.encodePacked(
            uint8(3), order.client, order.programId, order.modelId, order.kind, order.inputCommitment, order.token,
            uint128(order.priceCap), uint128(order.verifierFee), order.royaltyBps, uint128(order.collateral)
        );
        packed = bytes.concat(
            packed,
            abi.encodePacked(order.promiseBy, order.finalBy, order.replyKey, order.salt, order.collateralToken)
        );
        packed = bytes.concat(
            packed,
            abi.encodePacked(order.inputHash, order.inputSize, order.parametersHash, uint128(order.priceFloor)),
            abi.encodePacked(order.rampStart, order.rampEnd, order.consumer, order.context)
        );
        packed = bytes.concat(
            packed,
            abi.encodePacked(award.bidHash, award.prover, award.payout, uint128(award.price)),
            abi.encodePacked(award.promiseAt, award.lockBy)
        );
    }

    /// All words of an order but its input commitment and salt.
    function _orderWords(Order memory order) private pure returns (bytes memory words) {
        bytes memory all = abi.encode(order);
        words = new bytes(21 * 32);
        assembly ("memory-safe") {
            mcopy(add(words, 32), add(all, 32), 128)
            mcopy(add(words, 160), add(all, 192), 544)
        }
    }

    function _awardWords(Award memory award) private pure returns (bytes memory) {
        return abi.encode(award.prover, award.payout, award.price, award.promiseAt, award.lockBy);
    }

    function _indices(uint256 first, uint256 count) private pure returns (bytes memory indices) {
        for (uint256 i = 0; i < count; i++) {
            indices = bytes.concat(indices, bytes2(uint16(first + i)));
        }
    }

    /// c with A = alpha 2 + 3 (IC . inputs) + 4 c, in the exponent.
    function simulate(uint256[3] memory inputs) internal view returns (uint256[8] memory) {
        uint256[] memory all = new uint256[](3);
        (all[0], all[1], all[2]) = (inputs[0], inputs[1], inputs[2]);
        return simulate(all);
    }

    function simulate(uint256[] memory inputs) internal view returns (uint256[8] memory proof) {
        uint256 sum = 11;
        for (uint256 i = 0; i < inputs.length; i++) {
            sum = addmod(sum, mulmod(inputs[i], 12 + i, R), R);
        }
        uint256 rest = addmod(A, R - addmod(2 * ALPHA, mulmod(3, sum, R), R), R);
        (proof[0], proof[1]) = g1(A);
        uint256[4] memory b = g2(1);
        for (uint256 i = 0; i < 4; i++) {
            proof[2 + i] = b[i];
        }
        (proof[6], proof[7]) = g1(mulmod(rest, QUARTER, R));
    }

    /// The inverse of 4 modulo r.
    uint256 private constant QUARTER =
        16416182153879456416684804308942956316411273300312025757773653139931856371713;

    function key() internal view returns (uint256[] memory vk) {
        return longKey(3);
    }

    /// The key of a program with this many public inputs.
    function longKey(uint256 inputs) internal view returns (uint256[] memory vk) {
        vk = new uint256[](16 + 2 * inputs);
        (vk[0], vk[1]) = g1(ALPHA);
        for (uint256 k = 0; k < 3; k++) {
            uint256[4] memory point = g2(k + 2);
            for (uint256 i = 0; i < 4; i++) {
                vk[2 + 4 * k + i] = point[i];
            }
        }
        for (uint256 i = 0; i <= inputs; i++) {
            (vk[14 + 2 * i], vk[15 + 2 * i]) = g1(11 + i);
        }
    }

    function g1(uint256 scalar) internal view returns (uint256 x, uint256 y) {
        (bool done, bytes memory point) = address(7).staticcall(abi.encode(uint256(1), uint256(2), scalar));
        require(done, "ecMul");
        return abi.decode(point, (uint256, uint256));
    }

    /// The first multiples of G2's generator (EIP-197), imaginary parts first.
    function g2(uint256 k) internal pure returns (uint256[4] memory) {
        if (k == 1) {
            return [
                11559732032986387107991004021392285783925812861821192530917403151452391805634,
                10857046999023057135944570762232829481370756359578518086990519993285655852781,
                4082367875863433681332203403145435568316851327593401208105741076214120093531,
                8495653923123431417604973247489272438418190587263600148770280649306958101930
            ];
        }
        if (k == 2) {
            return [
                14583779054894525174450323658765874724019480979794335525732096752006891875705,
                18029695676650738226693292988307914797657423701064905010927197838374790804409,
                11474861747383700316476719153975578001603231366361248090558603872215261634898,
                2140229616977736810657479771656733941598412651537078903776637920509952744750
            ];
        }
        if (k == 3) {
            return [
                7273165102799931111715871471550377909735733521218303035754523677688038059653,
                2725019753478801796453339367788033689375851816420509565303521482350756874229,
                957874124722006818841961785324909313781880061366718538693995380805373202866,
                2512659008974376214222774206987427162027254181373325676825515531566330959255
            ];
        }
        return [
            18556147586753789634670778212244811446448229326945855846642767021074501673839,
            18936818173480011669507163011118288089468827259971823710084038754632518263340,
            13775476761357503446238925910346030822904460488609979964814810757616608848118,
            18825831177813899069786213865729385895767511805925522466244528695074736584695
        ];
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {Escrow} from "../src/Escrow.sol";
import {ExternalProof} from "../src/ExternalProof.sol";
import {IEscrow} from "../src/IEscrow.sol";
import {IProofConsumer} from "../src/IProofConsumer.sol";
import {IProofVerifier} from "../src/IProofVerifier.sol";
import {IRegistry} from "../src/IRegistry.sol";
import {ProofConsumer} from "../src/ProofConsumer.sol";
import {Award, ModelRecord, Order, Program, Settlement, Status} from "../src/Types.sol";
import {Market} from "./Market.sol";
import {HashProof, HashVerifier, MeddlingVerifier, OddVerifier} from "./Verifiers.sol";

/// Remembers the statement that it was told.
contract Listener is IProofConsumer {
    uint256[] public told;
    bytes32 public ofProgram;

    function onProof(bytes32, address, bytes32, bytes32 program, uint256[] calldata inputs) external {
        (told, ofProgram) = (inputs, program);
    }

    function length() external view returns (uint256) {
        return told.length;
    }
}

contract DirectConsumer is ProofConsumer {
    constructor(address escrow_, IRegistry registry_, bytes32 programId_) ProofConsumer(escrow_, registry_, programId_) {}

    function _accept(address, bytes32, uint256[] memory) internal override {}
}

/// Programs of other proof systems: what the Registry takes, and what the Escrow pays for.
contract ExternalTest is Market {
    uint256 private constant OUTPUT = 343;

    HashVerifier private _verifier;
    bytes32 private _program;

    function setUp() external {
        openMarket();
        _verifier = new HashVerifier(0);
        _program = registry.registerVerifier(address(_verifier), bytes32(0), bytes32(0), false);
    }

    // --- the Registry --------------------------------------------------------------------------

    function test_registerVerifier_PinsAddressAndCode() external {
        Program memory program = registry.programOf(_program);
        require(program.proofSystem == 2 && program.keyPointer == address(_verifier) && !program.dev);
        (address verifier, bytes32 codeHash) = registry.verifierOf(_program);
        require(verifier == address(_verifier) && codeHash == address(_verifier).codehash);
        bytes32 again = registry.registerVerifier(address(_verifier), bytes32(0), bytes32(0), false);
        require(again == _program);
        HashVerifier twin = new HashVerifier(0);
        require(address(twin).codehash == codeHash);
        require(registry.registerVerifier(address(twin), bytes32(0), bytes32(0), false) != _program);
        require(registry.registerVerifier(address(_verifier), bytes32(0), bytes32(0), true) != _program);
        vm.expectPartialRevert(IRegistry.UnknownProgram.selector);
        registry.verifyingKeyOf(_program);
        vm.expectPartialRevert(IRegistry.UnknownProgram.selector);
        registry.verifierOf(programId);
    }

    function test_registerVerifier_RefusesWhatHasNoCodeOfItsOwn() external {
        vm.etch(address(0xDE1E), abi.encodePacked(hex"ef0100", address(_verifier)));
        address[5] memory none = [address(0), address(1), client, address(0xDE1E), address(registry)];
        for (uint256 i = 0; i < none.length; i++) {
            vm.expectPartialRevert(ExternalProof.VerifierRefused.selector);
            registry.registerVerifier(none[i], bytes32(0), bytes32(0), false);
        }
    }

    function test_registerVerifier_TheEscrowItselfProvesNothing() external {
        bytes32 program = registry.registerVerifier(address(escrow), bytes32(0), bytes32(0), false);
        vm.expectPartialRevert(ExternalProof.ExternalProofInvalid.selector);
        registry.requireProven(program, new uint256[](1), "");
    }

    function testFuzz_requireProven_OnlyWhatIsProved(uint256[] calldata inputs, bytes calldata proof) external {
        registry.requireProven(_program, inputs, HashProof.prove(inputs));
        vm.expectPartialRevert(ExternalProof.ExternalProofInvalid.selector);
        registry.requireProven(_program, inputs, proof);
        vm.expectPartialRevert(IRegistry.UnknownProgram.selector);
        registry.requireProven(programId, inputs, proof);
    }

    function test_requireProven_OfAVerifierThatAnswersOtherwise() external {
        for (uint256 way = 0; way <= uint256(type(OddVerifier.Way).max); way++) {
            OddVerifier odd = new OddVerifier(OddVerifier.Way(way));
            bytes32 program = registry.registerVerifier(address(odd), bytes32(0), bytes32(0), false);
            uint256 before = gasleft();
            vm.expectPartialRevert(ExternalProof.ExternalProofInvalid.selector);
            registry.requireProven(program, new uint256[](1), "");
            require(before - gasleft() < ExternalProof.GAS + 100_000, "gas");
        }
    }

    function test_requireProven_WhenTheCodeHasChanged() external {
        uint256[] memory inputs = new uint256[](1);
        bytes[3] memory codes = [bytes(""), address(registry).code, bytes.concat(address(_verifier).code, hex"00")];
        bytes memory code = address(_verifier).code;
        for (uint256 i = 0; i < codes.length; i++) {
            vm.etch(address(_verifier), codes[i]);
            vm.expectPartialRevert(ExternalProof.VerifierChanged.selector);
            registry.requireProven(_program, inputs, HashProof.prove(inputs));
        }
        vm.etch(address(_verifier), code);
        registry.requireProven(_program, inputs, HashProof.prove(inputs));
    }

    // --- the Escrow ----------------------------------------------------------------------------

    function test_settleExternal_WhenTheOrderIsNotLocked() external {
        (Order memory order, Award memory award) = _job(1, _program);
        _refused(IEscrow.NotLocked.selector, order, award, _proof(order));
        vm.prank(client);
        escrow.requestCancel(order);
        _refused(IEscrow.NotLocked.selector, order, award, _proof(order));
    }

    function testFuzz_settleExternal_PaysFromTheLockOfItsAward(uint64 later, bool byProver) external {
        (Order memory order, Award memory award) = _job(1, _program);
        award.payout = settler;
        lockIt(order, award);
        (uint256 free, uint256 atRisk) = (escrow.balanceOf(client), escrow.balanceOf(prover));
        uint256 total = escrow.total();
        later = later % 210;
        vm.warp(block.timestamp + later);
        if (later > 200) {
            _refused(IEscrow.FinalMissed.selector, order, award, _proof(order));
            return;
        }
        if (byProver) vm.prank(prover);
        escrow.settleExternal(order, award, _outputs(), _proof(order));
        bool late = later > 100;
        uint256 bounty = late ? order.collateral / 4 : 0;
        require(escrow.balanceOf(settler) == award.price + order.verifierFee + bounty, "payout");
        require(escrow.balanceOf(prover) == atRisk + (late ? 0 : order.collateral), "collateral");
        require(escrow.balanceOf(client) == free && escrow.total() == total, "client");
        require(escrow.balanceOf(escrow.BURNED()) == (late ? order.collateral - bounty : 0), "burned");
        _refused(IEscrow.AlreadySettled.selector, order, award, _proof(order));
    }

    function test_settleExternal_WhenTheOrderIsFinishedOrLockedByAnotherAward() external {
        (Order memory order, Award memory award) = _job(1, _program);
        lockIt(order, award);
        _refused(IEscrow.LockedByAnotherAward.selector, order, newAward(order, rival, 1), _proof(order));
        vm.warp(order.finalBy + 1);
        escrow.expire(order, award);
        _refused(IEscrow.AlreadyExpired.selector, order, award, _proof(order));
    }

    /// The proof is public as soon as it is sent; what it earns is not.
    function test_settleExternal_WhoCopiesTheProofPaysTheProver() external {
        (Order memory order, Award memory award) = _job(1, _program);
        Award memory other = newAward(order, rival, 1 ether);
        lockIt(order, award);
        (uint256 had, uint256 rivals) = (escrow.balanceOf(prover), escrow.balanceOf(rival));
        bytes memory proof = _proof(order);
        vm.prank(rival);
        vm.expectPartialRevert(IEscrow.LockedByAnotherAward.selector);
        escrow.settleExternal(order, other, _outputs(), proof);
        Settlement memory copy = settlement(order, other);
        vm.expectPartialRevert(IEscrow.LockedByAnotherAward.selector);
        escrow.settle(copy);
        vm.prank(rival);
        escrow.settleExternal(order, award, _outputs(), proof);
        require(escrow.balanceOf(rival) == rivals, "the copyist earns nothing");
        require(escrow.balanceOf(prover) == had + award.price + order.verifierFee + order.collateral);
    }

    /// A proof names nobody, so nothing that any sender could turn to itself takes it.
    function test_settle_WhenTheProgramIsOfAnotherProofSystem() external {
        (Order memory order, Award memory award) = _job(1, _program);
        Settlement memory direct = settlement(order, award);
        vm.expectPartialRevert(IEscrow.AnotherProofSystem.selector);
        escrow.settle(direct);
        Award memory locking = newAward(order, rival, 7);
        locking.promiseAt = uint64(block.timestamp + 1);
        lockIt(order, locking);
        Settlement memory own = settlement(order, locking);
        vm.expectPartialRevert(IEscrow.AnotherProofSystem.selector);
        escrow.settle(own);
        vm.warp(block.timestamp + 2);
        vm.expectPartialRevert(IEscrow.AnotherProofSystem.selector);
        escrow.settleVoided(direct, locking);
        _refused(IEscrow.LockedByAnotherAward.selector, order, award, _proof(order));
    }

    function test_settleBatch_SkipsAnotherProofSystemAndPaysTheOthers() external {
        Settlement[] memory jobs = new Settlement[](4);
        for (uint256 i = 0; i < 4; i++) {
            (Order memory order, Award memory award) = _job(i, i % 2 == 0 ? _program : programId);
            jobs[i] = settlement(order, award);
        }
        lockIt(jobs[0].order, jobs[0].award);
        uint256 had = escrow.balanceOf(prover);
        bytes4[] memory refusals = escrow.settleBatch(pack(jobs));
        require(refusals[0] == IEscrow.AnotherProofSystem.selector && refusals[0] == refusals[2]);
        require(refusals[1] == 0 && refusals[3] == 0);
        require(escrow.balanceOf(prover) == had + 2 * (0.4875 ether + 1001), "two are paid, less the royalty");
        escrow.settleExternal(jobs[0].order, jobs[0].award, _outputs(), _proof(jobs[0].order));
    }

    function test_settleExternal_OfProgramsThatItDoesNotTake() external {
        (Order memory order, Award memory award) = _job(1, programId);
        lockIt(order, award);
        _refused(IEscrow.AnotherProofSystem.selector, order, award, _proof(order));
        (order, award) = _job(2, keccak256("none"));
        lockIt(order, award);
        _refused(IEscrow.UnknownProgram.selector, order, award, _proof(order));
        (order, award) = _job(3, _program);
        order.modelId = modelId;
        award = newAward(order, prover, 1);
        lockIt(order, award);
        _refused(IEscrow.ModelOfAnotherProgram.selector, order, award, _proof(order));
        (order, award) = _job(4, _program);
        order.royaltyBps = 1;
        award = newAward(order, prover, 1);
        lockIt(order, award);
        _refused(IEscrow.RoyaltyMismatch.selector, order, award, _proof(order));
    }

    function test_settleExternal_OfADevelopmentSetUp() external {
        escrow = new Escrow(registry, false, DELAY);
        fund(client, 10 ether);
        fund(prover, 10 ether);
        bytes32 dev = registry.registerVerifier(address(_verifier), bytes32(0), bytes32(0), true);
        (Order memory order, Award memory award) = _job(1, dev);
        lockIt(order, award);
        _refused(IEscrow.DevProgramRefused.selector, order, award, _proof(order));
        (order, award) = _job(2, _program);
        lockIt(order, award);
        escrow.settleExternal(order, award, _outputs(), _proof(order));
    }

    function testFuzz_settleExternal_WhenTheProofIsNotOfThisStatement(uint256 output, uint256 commitment) external {
        (Order memory order, Award memory award) = _job(1, _program);
        lockIt(order, award);
        uint256[] memory others = new uint256[](1);
        others[0] = output;
        if (output != OUTPUT) {
            vm.expectPartialRevert(ExternalProof.ExternalProofInvalid.selector);
            escrow.settleExternal(order, award, others, _proof(order));
        }
        Order memory elsewhere = newOrder(1);
        elsewhere.inputCommitment = bytes32(commitment);
        if (elsewhere.inputCommitment != order.inputCommitment) {
            _refused(ExternalProof.ExternalProofInvalid.selector, order, award, _proof(elsewhere));
        }
        escrow.settleExternal(order, award, _outputs(), _proof(order));
    }

    /// Whatever the verifier does, nothing is paid, the lock stands, and the client is refunded in the end.
    function test_settleExternal_OfAVerifierThatAnswersOtherwise() external {
        uint256 total = escrow.total();
        for (uint256 way = 0; way <= uint256(type(OddVerifier.Way).max); way++) {
            OddVerifier odd = new OddVerifier(OddVerifier.Way(way));
            (Order memory order, Award memory award) =
                _job(way, registry.registerVerifier(address(odd), bytes32(0), bytes32(0), false));
            uint256 had = escrow.balanceOf(client);
            lockIt(order, award);
            _refused(ExternalProof.ExternalProofInvalid.selector, order, award, _proof(order));
            (Status status,) = escrow.stateOf(award.orderHash);
            require(status == Status.Locked && escrow.total() == total);
            vm.warp(order.finalBy + 1);
            escrow.expire(order, award);
            require(escrow.balanceOf(client) == had, "refunded");
        }
    }

    function test_settleExternal_WhenTheVerifierMeddles() external {
        (Order memory victims, Award memory locking) = _job(99, programId);
        lockIt(victims, locking);
        uint256 locked = escrow.total();
        bytes[2] memory calls =
            [abi.encodeCall(escrow.depositFor, (rival)), abi.encodeCall(escrow.requestWithdraw, (0))];
        for (uint256 i = 0; i < calls.length; i++) {
            MeddlingVerifier meddling = new MeddlingVerifier(address(escrow), calls[i]);
            (Order memory order, Award memory award) =
                _job(i, registry.registerVerifier(address(meddling), bytes32(0), bytes32(0), false));
            lockIt(order, award);
            escrow.settleExternal(order, award, _outputs(), "");
            (Status status,) = escrow.stateOf(locking.orderHash);
            require(status == Status.Locked && escrow.total() == locked && escrow.balanceOf(rival) == 10 ether);
        }
    }

    function test_settleExternal_WhenTheVerifiersCodeHasChanged() external {
        (Order memory order, Award memory award) = _job(1, _program);
        lockIt(order, award);
        bytes memory code = address(_verifier).code;
        vm.etch(address(_verifier), address(new OddVerifier(OddVerifier.Way.Zero)).code);
        _refused(ExternalProof.VerifierChanged.selector, order, award, _proof(order));
        vm.etch(address(_verifier), code);
        escrow.settleExternal(order, award, _outputs(), _proof(order));
    }

    /// Whatever gas is sent, a good proof is never found bad: it is paid, or the sender is told that gas is missing.
    function testFuzz_settleExternal_CannotBeStarvedByTheSender(uint256 gas_) external {
        HashVerifier costly = new HashVerifier(ExternalProof.GAS - 20_000);
        (Order memory order, Award memory award) =
            _job(1, registry.registerVerifier(address(costly), bytes32(0), bytes32(0), false));
        lockIt(order, award);
        gas_ = 2_900_000 + gas_ % 600_000;
        bytes memory data = abi.encodeCall(escrow.settleExternal, (order, award, _outputs(), _proof(order)));
        (bool done, bytes memory answer) = address(escrow).call{gas: gas_}(data);
        if (!done) {
            bool outOfGas = answer.length == 0;
            require(outOfGas || bytes4(answer) == ExternalProof.VerifierGasMissing.selector, "told otherwise");
            require(gas_ < 3_300_000, "enough was sent");
            (done,) = address(escrow).call(data);
        }
        require(done, "paid");
    }

    /// What a verifier is made of is nobody's business: its code is no key, and shorter than any.
    function test_settleExternal_ByAVerifierOfAFewBytes() external {
        bytes4 word = IProofVerifier.proves.selector;
        vm.etch(address(0x711), abi.encodePacked(hex"63", word, hex"60e01b5f5260205ff3")); // returns the word
        (Order memory order, Award memory award) =
            _job(1, registry.registerVerifier(address(0x711), bytes32(0), bytes32(0), false));
        lockIt(order, award);
        escrow.settleExternal(order, award, _outputs(), "");
        (Status status,) = escrow.stateOf(award.orderHash);
        require(status == Status.Settled);
    }

    function test_settleExternal_TellsTheConsumerTheWholeStatement() external {
        (Order memory order,) = _job(1, _program);
        Listener listener = new Listener();
        order.consumer = address(listener);
        Award memory award = newAward(order, prover, 1);
        lockIt(order, award);
        escrow.settleExternal(order, award, _outputs(), _proof(order));
        require(listener.length() == 3 && listener.ofProgram() == _program);
        require(listener.told(0) == uint256(order.inputCommitment) && listener.told(1) == OUTPUT);
        require(listener.told(2) == escrow.binding(award.orderHash, prover, prover), "binding");
        (, bool delivered) = escrow.flagsOf(award.orderHash);
        require(delivered);
    }

    function test_claim_OfAnExternalStatement() external {
        (Order memory order,) = _job(1, _program);
        order.consumer = address(0xC0DE);
        Award memory award = newAward(order, prover, 1);
        lockIt(order, award);
        escrow.settleExternal(order, award, _outputs(), _proof(order));
        vm.etch(address(0xC0DE), address(new Listener()).code);
        uint256[] memory inputs = new uint256[](3);
        inputs[0] = uint256(order.inputCommitment);
        inputs[1] = OUTPUT;
        inputs[2] = escrow.binding(award.orderHash, prover, prover);
        escrow.claim(order, inputs);
        require(Listener(address(0xC0DE)).length() == 3);
    }

    function test_consumer_ThatTakesProofsDirectlyIsForGroth16Only() external {
        vm.expectPartialRevert(ProofConsumer.AnotherProgram.selector);
        new DirectConsumer(address(escrow), registry, _program);
        new DirectConsumer(address(escrow), registry, programId);
    }

    function test_publishModel_OfAnotherProofSystemEarnsItsRoyalty() external {
        vm.prank(publisher);
        bytes32 model = registry.publishModel(ModelRecord(_program, 0, 0, 0, 0, 0, 0, 250, "CC0-1.0", "bundle:other"));
        (Order memory order,) = _job(1, _program);
        (order.modelId, order.royaltyBps) = (model, 250);
        Award memory award = newAward(order, prover, 1 ether);
        lockIt(order, award);
        escrow.settleExternal(order, award, _outputs(), _proof(order));
        require(escrow.balanceOf(publisher) == 0.025 ether);
    }

    // --- made here -----------------------------------------------------------------------------

    function _job(uint256 salt, bytes32 program) private view returns (Order memory order, Award memory award) {
        order = newOrder(salt);
        order.programId = program;
        if (program != programId) (order.modelId, order.royaltyBps) = (0, 0);
        award = newAward(order, prover, 0.5 ether);
    }

    function _outputs() private pure returns (uint256[] memory outputs) {
        outputs = new uint256[](1);
        outputs[0] = OUTPUT;
    }

    function _proof(Order memory order) private pure returns (bytes memory) {
        uint256[] memory inputs = new uint256[](2);
        (inputs[0], inputs[1]) = (uint256(order.inputCommitment), OUTPUT);
        return HashProof.prove(inputs);
    }

    function _refused(bytes4 selector, Order memory order, Award memory award, bytes memory proof) private {
        vm.expectPartialRevert(selector);
        escrow.settleExternal(order, award, _outputs(), proof);
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// Stands at an account's address (anvil_setCode) and calls in its name: target, value, then the data. The account
/// still signs with its key.
contract Actor {
    fallback() external payable {
        if (msg.data.length < 52) return; // money that it is paid, and questions that it does not answer
        address target = address(bytes20(msg.data[:20]));
        uint256 value = uint256(bytes32(msg.data[20:52]));
        (bool done, bytes memory answer) = target.call{value: value}(msg.data[52:]);
        assembly ("memory-safe") {
            switch done
            case 0 { revert(add(answer, 32), mload(answer)) }
            default { return(add(answer, 32), mload(answer)) }
        }
    }
}

/// Many calls of many accounts in one transaction, and what came of each.
contract Driver {
    event Answers(bool[] done, bytes[] answers);

    uint256 private constant GAS = 20_000_000;

    function run(address[] calldata actors, bytes[] calldata calls) external {
        bool[] memory done = new bool[](actors.length);
        bytes[] memory answers = new bytes[](actors.length);
        for (uint256 i = 0; i < actors.length; i++) {
            (done[i], answers[i]) = actors[i].call{gas: GAS}(calls[i]);
        }
        emit Answers(done, answers);
    }
}

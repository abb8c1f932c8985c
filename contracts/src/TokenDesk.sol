// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IEscrow} from "./IEscrow.sol";

/// A transfer that its owner signed and that only its recipient can bring (ERC-3009).
interface IERC3009 {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;
}

/// Deposits tokens in the Escrow by a signature instead of an approval before. It holds nothing between two
/// calls and has no rights: the Escrow does not know it.
contract TokenDesk is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    IEscrow public immutable escrow;

    constructor(IEscrow escrow_) {
        escrow = escrow_;
    }

    /// For the caller's own account, by an ERC-2612 permit for this desk.
    function depositWithPermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
        returns (uint256)
    {
        // Anyone can use the permit first; then the allowance is there already, and that is all we want.
        try IERC20Permit(token).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        return _deposit(token, msg.sender, before);
    }

    /// For the account of whoever signed the transfer to this desk; anyone may bring it.
    function depositWithAuthorization(
        address token,
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (uint256) {
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC3009(token).receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, v, r, s);
        return _deposit(token, from, before);
    }

    function _deposit(address token, address account, uint256 before) private returns (uint256) {
        uint256 arrived = IERC20(token).balanceOf(address(this)) - before;
        IERC20(token).forceApprove(address(escrow), arrived);
        return escrow.depositToken(token, account, arrived);
    }
}

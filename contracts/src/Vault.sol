// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IEscrow} from "./IEscrow.sol";

/// Who has how much: balances inside the Escrow, and the way in and out.
abstract contract Vault is IEscrow, ReentrancyGuardTransient {
    address internal constant ETH = address(0);

    struct Withdrawal {
        uint128 amount;
        uint64 availableAt;
    }

    /// Seconds between asking for a withdrawal or a cancel and its effect.
    uint64 public immutable withdrawalDelay;

    mapping(address token => mapping(address account => uint256)) private _balances;
    mapping(address token => mapping(address account => Withdrawal)) private _withdrawals;
    /// Everything that the Escrow owes: balances and locks.
    mapping(address token => uint256) private _totals;

    constructor(uint64 withdrawalDelay_) {
        withdrawalDelay = withdrawalDelay_;
    }

    function deposit() external payable {
        _depositEther(msg.sender);
    }

    function depositFor(address account) external payable {
        _depositEther(account);
    }

    /// Announces a withdrawal; it replaces an earlier one, and zero takes it back. Until it is made the
    /// amount stays in the balance and pays for what the account signed.
    function requestWithdraw(uint256 amount) external {
        uint256 balance = _balances[ETH][msg.sender];
        if (amount > balance) revert InsufficientBalance(msg.sender, balance, amount);
        uint64 availableAt = uint64(block.timestamp) + withdrawalDelay;
        if (amount == 0) {
            delete _withdrawals[ETH][msg.sender];
        } else {
            _withdrawals[ETH][msg.sender] = Withdrawal(_amount(amount), availableAt);
        }
        emit WithdrawalRequested(msg.sender, amount, availableAt);
    }

    /// Pays out what was announced, or what is left of it.
    function withdraw(address payable to) external nonReentrant {
        uint256 amount = _withdraw(ETH, to);
        emit Withdrawn(msg.sender, to, amount);
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed();
    }

    function balanceOf(address account) external view returns (uint256) {
        return _balances[ETH][account];
    }

    function pendingWithdrawalOf(address account) external view returns (uint128 amount, uint64 availableAt) {
        Withdrawal storage pending = _withdrawals[ETH][account];
        return (pending.amount, pending.availableAt);
    }

    function total() external view returns (uint256) {
        return _totals[ETH];
    }

    // --- inside ----------------------------------------------------------------------------------

    function _fundsRefusal(address token, address account, uint256 amount) internal view returns (bytes memory) {
        uint256 balance = _balances[token][account];
        if (amount <= balance) return "";
        return abi.encodeWithSelector(InsufficientBalance.selector, account, balance, amount);
    }

    function _credit(address token, address account, uint256 amount) internal {
        if (amount != 0) _balances[token][account] += amount;
    }

    /// The caller has made sure that the balance is enough; otherwise it reverts.
    function _debit(address token, address account, uint256 amount) internal {
        if (amount != 0) _balances[token][account] -= amount;
    }

    function _amount(uint256 amount) internal pure returns (uint128) {
        if (amount > type(uint128).max) revert AmountTooLarge(amount);
        return uint128(amount);
    }

    function _depositEther(address account) private {
        if (account == address(0)) revert ZeroAddress();
        _totals[ETH] += _amount(msg.value);
        _credit(ETH, account, msg.value);
        emit Deposited(account, msg.sender, msg.value);
    }

    function _withdraw(address token, address to) private returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        Withdrawal memory pending = _withdrawals[token][msg.sender];
        if (pending.amount == 0) revert NoWithdrawalRequested();
        if (block.timestamp < pending.availableAt) revert WithdrawalNotReady(pending.availableAt);
        uint256 balance = _balances[token][msg.sender];
        amount = pending.amount < balance ? pending.amount : balance;
        delete _withdrawals[token][msg.sender];
        _balances[token][msg.sender] = balance - amount;
        _totals[token] -= amount;
    }
}

// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Refusals} from "./Refusals.sol";

/// Who has how much: balances inside the Escrow, and the way in and out.
abstract contract Vault is Refusals, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    address internal constant ETH = address(0);

    struct Withdrawal {
        uint128 amount;
        uint64 availableAt;
    }

    /// Credits of one account that come one after another, written to its balance once.
    struct Tally {
        address token;
        address account;
        uint256 amount;
    }

    /// Seconds between asking for a withdrawal or a cancel and its effect.
    uint64 public immutable withdrawalDelay;

    mapping(address token => mapping(address account => Withdrawal)) private _withdrawals;
    /// Everything that the Escrow owes: balances and locks.
    mapping(address token => uint256) private _totals;

    constructor(uint64 withdrawalDelay_) {
        withdrawalDelay = withdrawalDelay_;
    }

    // --- in --------------------------------------------------------------------------------------

    function deposit() external payable {
        _depositEther(msg.sender);
    }

    function depositFor(address account) external payable {
        _depositEther(account);
    }

    /// Takes tokens of the caller for an account, and credits what really arrived: some tokens keep a fee.
    /// Not for tokens whose balances change by themselves (rebasing): nobody would own the difference.
    function depositToken(address token, address account, uint256 amount)
        external
        nonReentrant
        returns (uint256 received)
    {
        if (token == ETH || account == address(0)) revert ZeroAddress();
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        received = IERC20(token).balanceOf(address(this)) - before;
        _receive(token, account, received);
        emit TokenDeposited(token, account, msg.sender, received);
    }

    // --- out -------------------------------------------------------------------------------------

    /// Announces a withdrawal; it replaces an earlier one, and zero takes it back. Until it is made the
    /// amount stays in the balance and pays for what the account signed.
    function requestWithdraw(uint256 amount) external {
        emit WithdrawalRequested(msg.sender, amount, _requestWithdraw(ETH, amount));
    }

    function requestWithdrawToken(address token, uint256 amount) external {
        emit TokenWithdrawalRequested(token, msg.sender, amount, _requestWithdraw(token, amount));
    }

    /// Pays out what was announced, or what is left of it.
    function withdraw(address payable to) external nonReentrant {
        uint256 amount = _withdraw(ETH, to);
        emit Withdrawn(msg.sender, to, amount);
        (bool sent,) = to.call{value: amount}("");
        if (!sent) revert TransferFailed();
    }

    function withdrawToken(address token, address to) external nonReentrant {
        if (token == ETH) revert ZeroAddress();
        uint256 amount = _withdraw(token, to);
        emit TokenWithdrawn(token, msg.sender, to, amount);
        IERC20(token).safeTransfer(to, amount);
    }

    // --- views -----------------------------------------------------------------------------------

    function balanceOf(address account) external view returns (uint256) {
        return _balance(ETH, account);
    }

    function tokenBalanceOf(address token, address account) external view returns (uint256) {
        return _balance(token, account);
    }

    function pendingWithdrawalOf(address account) external view returns (uint128 amount, uint64 availableAt) {
        return _pending(ETH, account);
    }

    function pendingTokenWithdrawalOf(address token, address account)
        external
        view
        returns (uint128 amount, uint64 availableAt)
    {
        return _pending(token, account);
    }

    function total() external view returns (uint256) {
        return _totals[ETH];
    }

    function totalOf(address token) external view returns (uint256) {
        return _totals[token];
    }

    // --- inside ----------------------------------------------------------------------------------

    function _fundsRefusal(address token, address account, uint256 amount) internal view returns (bytes memory refusal) {
        uint256 balance = _balance(token, account);
        if (amount > balance) return _refuse(InsufficientBalance.selector, account, balance, amount);
    }

    /// Cannot overflow: no balance is above the total (I1), which is checked where money comes in.
    function _credit(address token, address account, uint256 amount) internal {
        if (amount == 0) return;
        bytes32 place = _place(token, account);
        assembly ("memory-safe") {
            sstore(place, add(sload(place), amount))
        }
    }

    /// The caller has made sure that the balance is enough; otherwise it reverts.
    function _debit(address token, address account, uint256 amount) internal {
        if (amount == 0) return;
        bytes32 place = _place(token, account);
        uint256 had;
        assembly ("memory-safe") {
            had := sload(place)
        }
        had -= amount;
        assembly ("memory-safe") {
            sstore(place, had)
        }
    }

    /// Credits now or with the next credit of another account; whoever asks for that balance writes it first.
    function _tally(Tally memory tally, address token, address account, uint256 amount) internal {
        if (tally.account != account || tally.token != token) {
            _write(tally);
            (tally.token, tally.account) = (token, account);
        }
        tally.amount += amount;
    }

    function _write(Tally memory tally) internal {
        _credit(tally.token, tally.account, tally.amount);
        tally.amount = 0;
    }

    function _balance(address token, address account) internal view returns (uint256 amount) {
        bytes32 place = _place(token, account);
        assembly ("memory-safe") {
            amount := sload(place)
        }
    }

    /// A balance lies at the hash of 40 bytes, token and account: one hash, where a mapping of mappings takes two. No
    /// other place of this contract's storage is a hash of 40 bytes.
    function _place(address token, address account) private pure returns (bytes32 place) {
        assembly ("memory-safe") {
            mstore(20, account)
            mstore(0, token)
            place := keccak256(12, 40)
        }
    }

    function _amount(uint256 amount) internal pure returns (uint128) {
        if (amount > type(uint128).max) revert AmountTooLarge(amount);
        return uint128(amount);
    }

    function _depositEther(address account) private {
        if (account == address(0)) revert ZeroAddress();
        _receive(ETH, account, msg.value);
        emit Deposited(account, msg.sender, msg.value);
    }

    function _receive(address token, address account, uint256 amount) private {
        _totals[token] += _amount(amount);
        _credit(token, account, amount);
    }

    function _requestWithdraw(address token, uint256 amount) private returns (uint64 availableAt) {
        uint256 balance = _balance(token, msg.sender);
        if (amount > balance) revert InsufficientBalance(msg.sender, balance, amount);
        availableAt = uint64(block.timestamp) + withdrawalDelay;
        if (amount == 0) {
            delete _withdrawals[token][msg.sender];
        } else {
            _withdrawals[token][msg.sender] = Withdrawal(_amount(amount), availableAt);
        }
    }

    function _pending(address token, address account) private view returns (uint128, uint64) {
        Withdrawal storage pending = _withdrawals[token][account];
        return (pending.amount, pending.availableAt);
    }

    function _withdraw(address token, address to) private returns (uint256 amount) {
        if (to == address(0)) revert ZeroAddress();
        Withdrawal memory pending = _withdrawals[token][msg.sender];
        if (pending.amount == 0) revert NoWithdrawalRequested();
        if (block.timestamp < pending.availableAt) revert WithdrawalNotReady(pending.availableAt);
        uint256 balance = _balance(token, msg.sender);
        amount = pending.amount < balance ? pending.amount : balance;
        delete _withdrawals[token][msg.sender];
        _debit(token, msg.sender, amount);
        _totals[token] -= amount;
    }
}

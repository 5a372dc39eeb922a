"""The words that decisions, limits and alarms begin with, in a sentence each."""

WORDS = {
    # the strategy waits
    "not_warm": "too little funding or price history known yet",
    "stale_data": "no fresh quote or mark of a leg",
    "carry_below_hurdle": "funding is below the level at which a round trip is repaid",
    "funding_low_now": "it would pay, but this hour's rate is under the hurdle: waiting is free",
    "thin_depth": "the books are too thin for a position",
    "below_minimum": "the capital left is too small for a position",
    "volatile": "the price may move too far for the margin",
    "capital_used": "a better pair has the capital",
    # it enters, holds, leaves
    "carry_pays": "expected funding repays the round trip and the hurdle",
    "carry_holds": "staying is worth more than leaving",
    "settlement_near": "it leaves after a payment that is minutes away",
    "basis_stop": "the perp rose against spot beyond the stop",
    "carry_gone": "staying is no longer worth it",
    "funding_punishing": "funding is paid, and more than leaving costs",
    "rotation": "another pair pays for both round trips",
    # the gate refuses
    "limits": "a limit is tripped",
    "unknown_orders": "an order's fate is not proven yet",
    "reconciled": "books and venue disagree",
    "equity": "there is nothing to risk",
    "leverage": "effective leverage after the fill would be over the cap",
    "stop": "the mark is already at the stop",
    "liquidation_buffer": "liquidation would lie too near behind the stop",
    "liquidation_distance": "liquidation would lie too near the mark",
    "data_age": "quotes are too old",
    "data_skew": "the legs' quotes are of different moments",
    "reconcile_age": "books and venue last agreed too long ago",
    "clock_skew": "our clock and the venue's differ",
    "order_rate": "too many orders in a minute",
    "notional_rate": "orders of an hour are worth too much",
    "spread": "a book is too wide",
    "volatility": "hourly returns vary too much",
    "dislocation": "spot is too far from the oracle",
    "risk_per_trade": "the loss at the stop would be too large",
    "free_collateral": "too little would stay free",
    "pair_exposure": "one pair would have too much",
    "asset_exposure": "one asset would have too much",
    "venue_exposure": "one venue would have too much",
    "total_exposure": "all together would be too much",
    # limits
    "drawdown": "fall from the highest equity",
    "daily_loss": "loss since the start of the UTC day",
    "loss_streak": "losing trades in a row",
    "delta": "the legs differed for too long",
    # alarms
    "margin_guard": "a perp came near its margin's end: topped up, shrunk or closed",
    "limit_tripped": "a limit stopped trading",
    "naked_leg": "one leg stood without the other",
    "order_unknown": "an order without a trustworthy answer",
    "books_differ": "books and venue differ",
}


def meaning(word: str) -> str:
    """Empty where nothing is known of it: its own text has to say it then."""
    return WORDS.get(word, "")

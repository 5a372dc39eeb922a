"""One limit, one small pure check; the gate that alone gives permission; margin guards."""

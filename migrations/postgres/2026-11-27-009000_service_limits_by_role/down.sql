-- Nothing is set in their place that could be taken back.
SELECT 1;

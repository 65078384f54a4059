"""The load driver: many callers at intended times, and what the calls were like.

plan      arrivals, holding, scenario, schedule        pure
caller    caller, ticker, cable, unary, driver         one process, asyncio
fleet     fleet, ray_fleet                             many processes, many nodes
figures   histogram, measures, report, thresholds      pure
paper     table, page (figures: cluster/plots)
machine   processes, watch                             CPU and memory of the server
"""

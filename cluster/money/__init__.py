"""Money as a page: figures of it are pure functions of the overview's rows.

figures   spending, cost, cache and savings over time; limits
page      the whole page, with what is near and the tables
"""

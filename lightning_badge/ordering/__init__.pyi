"""The names of this package: `__init__.py` imports each on first use."""

from .coverage import measure_coverage as measure_coverage
from .lazy import LazyOrdering as LazyOrdering
from .ordering import Ordering as Ordering
from .registry import strategy as strategy
from .selector import Block as Block
from .selector import OneShotSelector as OneShotSelector
from .selector import Picks as Picks
from .selector import Selector as Selector
from .strategies import STRATEGIES as STRATEGIES
from .strategies import check_strategy as check_strategy
from .whole_pool import kmeans_pp as kmeans_pp
from .whole_pool import order as order

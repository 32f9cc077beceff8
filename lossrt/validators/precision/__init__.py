"""Half precision, predicted without a GPU: which nodes of a graph overflow, turn NaN, underflow or lose digits."""

__all__ = [
    "Fault",
    "Finding",
    "OutputDrift",
    "Prediction",
    "feeds_from_bundle",
    "naive_half",
    "naive_results",
    "predict_failures",
]

from lossrt.validators.precision.conversion import naive_half
from lossrt.validators.precision.feeds import feeds_from_bundle
from lossrt.validators.precision.judgement import Fault
from lossrt.validators.precision.prediction import Finding, OutputDrift, Prediction, naive_results, predict_failures

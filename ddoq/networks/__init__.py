"""The networks that are trained on distilled sets, and the trained ones that label them."""

from ddoq.network_config import ARCHITECTURES, NetworkConfig
from ddoq.networks.classifiers import open_classifier
from ddoq.networks.loading import load_network
from ddoq.networks.making import make_network

__all__ = ["ARCHITECTURES", "NetworkConfig", "load_network", "make_network", "open_classifier"]

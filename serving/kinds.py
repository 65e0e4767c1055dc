"""The kinds of serving: importing this registers Service, Configuration, Revision and Route."""

from serving.configuration import CONFIGURATION
from serving.revision import REVISION
from serving.route import ROUTE
from serving.service import SERVICE

KINDS = (SERVICE, CONFIGURATION, REVISION, ROUTE)

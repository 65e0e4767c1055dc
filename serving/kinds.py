"""The kinds of serving: importing this registers Service, Configuration, Revision, Route, DomainMapping."""

from serving.configuration import CONFIGURATION
from serving.domainmapping import DOMAIN_MAPPING
from serving.revision import REVISION
from serving.route import ROUTE
from serving.service import SERVICE

KINDS = (SERVICE, CONFIGURATION, REVISION, ROUTE, DOMAIN_MAPPING)

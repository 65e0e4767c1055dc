"""The kinds of serving: importing this registers Service, Configuration, Revision, Route, DomainMapping."""

from serving.objects.configuration import CONFIGURATION
from serving.objects.domainmapping import DOMAIN_MAPPING
from serving.objects.revision import REVISION
from serving.objects.route import ROUTE
from serving.objects.service import SERVICE

KINDS = (SERVICE, CONFIGURATION, REVISION, ROUTE, DOMAIN_MAPPING)

"""The kinds of what runs: importing this registers Service and what it is made of, and Deployment."""

from serving.objects.configuration import CONFIGURATION
from serving.objects.deployment import DEPLOYMENT
from serving.objects.domainmapping import DOMAIN_MAPPING
from serving.objects.revision import REVISION
from serving.objects.route import ROUTE
from serving.objects.scaled import METRIC, POD_AUTOSCALER, SERVERLESS_SERVICE
from serving.objects.service import SERVICE

KINDS = (SERVICE, CONFIGURATION, REVISION, ROUTE, DOMAIN_MAPPING, DEPLOYMENT, POD_AUTOSCALER, METRIC,
         SERVERLESS_SERVICE)

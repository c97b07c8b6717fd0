"""Prophet as tables and arrays: check a history, fit it, forecast it; knows neither MLflow nor HTTP."""

import logging

# Prophet complains at import that plotly is not there; nothing here draws with it.
logging.getLogger("prophet.plot").disabled = True

"""The online side: settings, schemas, catalog, forecasts and the HTTP app. Knows neither MLflow nor BentoML."""

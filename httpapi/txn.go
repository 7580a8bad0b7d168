package httpapi

func (a *API) txnRoutes() map[string]route { return nil }

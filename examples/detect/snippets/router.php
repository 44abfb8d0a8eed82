<?php
declare(strict_types=1);

namespace App\Http;

use InvalidArgumentException;

final class Router
{
    /** @var array<string, callable> */
    private array $routes = [];

    public function get(string $path, callable $handler): self
    {
        $this->routes['GET ' . $path] = $handler;
        return $this;
    }

    public function dispatch(string $method, string $path): string
    {
        $key = $method . ' ' . $path;
        if (!isset($this->routes[$key])) {
            throw new InvalidArgumentException("no route for $key");
        }
        return ($this->routes[$key])();
    }
}

$router = (new Router())->get('/', fn() => 'hello');
echo $router->dispatch($_SERVER['REQUEST_METHOD'] ?? 'GET', '/');

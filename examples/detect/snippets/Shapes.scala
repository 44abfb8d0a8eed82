package org.example.shapes

import scala.collection.mutable.ListBuffer

sealed trait Shape {
  def area: Double
}

case class Circle(radius: Double) extends Shape {
  override def area: Double = math.Pi * radius * radius
}

case class Rectangle(width: Double, height: Double) extends Shape {
  override def area: Double = width * height
}

object Shapes extends App {
  val shapes: ListBuffer[Shape] = ListBuffer(Circle(1.0), Rectangle(2.0, 3.5))

  def describe(shape: Shape): String = shape match {
    case Circle(r) if r > 10 => "a large circle"
    case Circle(_)           => "a circle"
    case Rectangle(w, h)     => s"a rectangle of $w by $h"
  }

  shapes.sortBy(_.area).foreach(s => println(describe(s)))
}
